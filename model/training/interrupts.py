"""Lets Ctrl-C and SIGTERM wait for the end of a step. Knows nothing of what a step is."""

import signal
import threading
from types import FrameType, TracebackType

_AT_ONCE = 3
"""Ctrl-C reaches a process twice under `accelerate launch`: from the terminal, and passed on."""


class Interrupted(KeyboardInterrupt):
    """Raised for a signal that was noted, when all processes are at the end of the same step."""


class Interrupts:
    """While it is open, a signal is noted, so that nothing is left halfway; a third is raised.

    Only the main thread can be told of signals: in any other one all stays as it is.
    """

    def __init__(self) -> None:
        self._noted = 0

    def __enter__(self) -> "Interrupts":
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def are_noted(self) -> bool:
        """Whether a signal came."""
        return self._noted > 0

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._noted += 1
        if self._noted >= _AT_ONCE:
            raise KeyboardInterrupt


def leave_to_the_parent(worker: int = 0) -> None:
    """In a process that reads ahead: Ctrl-C is its parent's business, which then ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
