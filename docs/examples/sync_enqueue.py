"""Sign up members, each together with a welcome: `sync_enqueue.py ada@example.com …`.

Its threads know nothing of asyncio, and nothing here delivers. A dispatcher on the same database
does, in another process: `DATABASE_URL=sqlite:///members.db pinguin serve`, or your own program.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, create_engine

from pinguin_adapters.sqlmodel_store import SqlModelNotificationRepository, enqueue
from pinguin_core import Email, EmailAddress, InvalidValue


class Member(SQLModel, table=True):
    """Somebody who signed up."""

    address: str = Field(primary_key=True)


URL = "sqlite:///members.db"
engine = create_engine(URL, hide_parameters=True)


def sign_up(address: str) -> str:
    """Store a member and the welcome, both or neither; any thread may do it."""
    try:
        welcome = Email(EmailAddress(address), "Welcome", "Good to have you.")
        with Session(engine) as session, session.begin():
            session.add(Member(address=address))
            queued = enqueue(session, welcome)
    except InvalidValue as error:
        return f"{address} {error.problem}"
    except IntegrityError:
        return f"{address} is a member already"
    return f"{address} will be welcomed by {queued.id}"


async def make_pinguins_tables() -> None:
    """Make them, or bring them up to date: opening a store does."""
    async with SqlModelNotificationRepository.open(URL):
        pass


if __name__ == "__main__":
    asyncio.run(make_pinguins_tables())
    SQLModel.metadata.create_all(engine)
    with ThreadPoolExecutor() as threads:
        for outcome in threads.map(sign_up, sys.argv[1:]):
            print(outcome)
    engine.dispose()
