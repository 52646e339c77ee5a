"""Ties a child process to its parent, so that a parent that is killed leaves nothing running."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def dies_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn` that has the child sent this signal when its parent ends; Linux only.

    To Linux the parent is the thread that starts the child: start it from the main thread.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded here: between fork and exec as little as can be
    parent = os.getpid()

    def ask_for_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), number)

    return ask_for_signal
