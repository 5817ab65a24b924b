"""The contract of a store: what everybody may rely on who is handed a `NotificationRepository`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from pinguin_core.testing.contracts.claiming import Claiming
from pinguin_core.testing.contracts.handling import Handling
from pinguin_core.testing.contracts.keeping import Keeping
from pinguin_core.testing.contracts.laws import Laws
from pinguin_core.testing.contracts.model import Modelled
from pinguin_core.testing.contracts.racing import Racing
from pinguin_core.testing.contracts.storage import Connect


class NotificationRepositoryContract(Keeping, Claiming, Handling, Racing, Laws, Modelled):
    """All that a `NotificationRepository` promises, as tests. Inherit it and define `storage`.

    ```python
    class TestMyStore(NotificationRepositoryContract):
        @asynccontextmanager
        async def storage(self) -> AsyncIterator[Connect]:
            with TemporaryDirectory() as folder:
                yield lambda: MyStore.open(f"{folder}/test.db")
    ```

    There is nothing to switch off: a store passes all tests, or it loses or repeats somebody's
    mail. A class that redefines anything but `storage` and `examples` raises `TypeError` where it
    is defined. Add your own tests beside them, under names of their own.

    Each test has an empty storage of its own, and so has each of the examples that the property
    tests try; `storage` should be quick, a hundredth of a second or so. `examples` is how many they
    try; set it in your class to search longer before a release.
    """

    def storage(self) -> AbstractAsyncContextManager[Connect]:
        """Make an empty storage, and yield a function that opens a handle on it.

        The function returns an asynchronous context manager that yields a repository, and closes
        it on leaving. The contract calls it several times for one storage and uses the handles at
        once, as several processes would: each is to have a connection of its own. It also opens
        new handles beside ones that it left in the middle of their work, as after a crash.

        Leaving the block of `storage` itself removes the storage; all handles are closed by then.
        """
        return super().storage()
