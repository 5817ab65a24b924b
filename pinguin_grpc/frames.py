"""HTTP/2 frames as they come in: so many, and no more than their sender has earned."""

from __future__ import annotations

import asyncio
from typing import Final

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.frame_buffer import FrameBuffer
from hyperframe.frame import Frame

from pinguin_grpc.limits import TokenBucket

_PER_SECOND: Final = 500.0


class TooManyFrames(ProtocolError):
    """Its sender keeps the service busy with frames that make no calls."""

    error_code = ErrorCodes.ENHANCE_YOUR_CALM


class CountedFrames(FrameBuffer):
    """Stands in for h2's own buffer, and takes a token for each frame that it gives out.

    Every kind counts: whatever a frame carries, it costs us the time to look at it.

    Args:
        burst: how many are accepted at once.
    """

    def __init__(self, burst: int) -> None:
        super().__init__(server=True)
        self._bucket = TokenBucket(burst, _PER_SECOND)
        self._paid = 0
        self._loop = asyncio.get_running_loop()

    def __next__(self) -> Frame:
        """Return the next frame.

        Raises:
            StopIteration: if it is not all there yet.
            TooManyFrames: if it is one too many.
        """
        frame = super().__next__()
        if not self._bucket.take(self._loop.time()):
            raise TooManyFrames
        return frame

    @property
    def pending(self) -> int:
        """How much of a frame is there, whose length h2 looks at only once it is whole."""
        return len(self._data)

    def pay(self, earned: int) -> None:
        """Accept more.

        Args:
            earned: how many more since the connection began.
        """
        self._bucket.give(earned - self._paid)
        self._paid = earned
