"""Several processes on one database never do the same thing twice."""

from __future__ import annotations

import asyncio

from support.databases import directly
from support.sqlmodel_processes import claim_with_others, prepared_processes
from support.sqlmodel_stores import email, opened, run

from pinguin_adapters.sqlmodel_store.rows import TABLE

COUNT = 3_000


def test_four_processes_claim_everything_once(any_url: str) -> None:
    """And save half of it, while the others claim."""

    async def fill() -> None:
        async with opened(any_url) as store:
            await asyncio.gather(*(store.add(email(f"notif-{n}")) for n in range(COUNT)))

    run(fill())
    context = prepared_processes()
    ready = context.Barrier(4)
    pipes = [context.Pipe(duplex=False) for _ in range(4)]
    processes = [
        context.Process(target=claim_with_others, args=(any_url, ready, theirs))
        for _, theirs in pipes
    ]
    for process in processes:
        process.start()
    claimed: list[str] = []
    for (ours, theirs), process in zip(pipes, processes, strict=True):
        theirs.close()
        with ours:
            assert ours.poll(30)
            claimed += ours.recv()
        process.join(30)
        assert process.exitcode == 0
    assert (len(claimed), len(set(claimed))) == (COUNT, COUNT)
    with directly(any_url) as connection:
        rows = connection.exec_driver_sql(
            f"SELECT state, min(version), max(version), max(attempts), count(*) FROM {TABLE.name}"
            " GROUP BY state ORDER BY state"
        ).all()
    # How many are saved depends on how the claims fell out: of an odd part, one more than half.
    assert [tuple(row)[:4] for row in rows] == [("sending", 2, 2, 1), ("sent", 3, 3, 1)]
    assert sum(row[4] for row in rows) == COUNT
