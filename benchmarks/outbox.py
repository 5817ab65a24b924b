"""What enqueueing adds to an application's transaction.

    python benchmarks/outbox.py [url …]

Commits orders alone, and orders with a notification, from one thread and from four, in rounds that
alternate: a machine has moods. The URLs are SQLAlchemy's, driver included, of databases without
tables of these names; SQLite comes first, in a folder of its own.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import sqlalchemy as sa

from pinguin_adapters.sqlmodel_store import enqueue, metadata
from pinguin_core import Email, EmailAddress

ROUNDS: Final = 5
COMMITS: Final = 300
MESSAGE: Final = Email(EmailAddress("ada@example.com"), "Your order", "It is on its way. " * 10)

shop = sa.MetaData()
orders = sa.Table(
    "customer_order",
    shop,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("item", sa.Text),
)


def order(connection: sa.Connection) -> None:
    connection.execute(sa.insert(orders), {"item": "tea"})


def order_with_notification(connection: sa.Connection) -> None:
    order(connection)
    enqueue(connection, MESSAGE)


def rate(engine: sa.Engine, work: Callable[[sa.Connection], None], threads: int) -> float:
    def commit_often(_: int) -> None:
        with engine.connect() as connection:
            for _ in range(COMMITS // threads):
                with connection.begin():
                    work(connection)

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(commit_often, range(threads)))
    return COMMITS / (time.perf_counter() - begin)


def measure(url: str) -> None:
    engine = sa.create_engine(url, connect_args={"timeout": 60} if "sqlite" in url else {})
    for tables in (shop, metadata):
        tables.create_all(engine)
    try:
        for threads in (1, 4):
            pairs = [
                (rate(engine, order, threads), rate(engine, order_with_notification, threads))
                for _ in range(ROUNDS)
            ]
            alone, both = (statistics.median(side) for side in zip(*pairs, strict=True))
            print(
                f"{engine.dialect.name}, {threads} threads: {alone:,.0f} orders/s alone, "
                f"{both:,.0f} with a notification (ratio {both / alone:.2f})"
            )
    finally:
        for tables in (shop, metadata):
            tables.drop_all(engine)
        engine.dispose()


def main() -> None:
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with TemporaryDirectory() as folder:
        with sa.create_engine(f"sqlite:///{Path(folder, 'shop.db')}").connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        for url in (f"sqlite:///{Path(folder, 'shop.db')}", *sys.argv[1:]):
            measure(url)


if __name__ == "__main__":
    main()
