"""Before torch is imported for the first time: what makes it start sooner and wait better."""

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def torch_imports() -> Generator[None]:
    """For a block that imports what imports torch, seconds of it."""
    # How long its threads spin before they sleep, where nothing else is set. By default they spin
    # through whatever else wants their core, and then a step takes ten times as long; so short, it
    # takes no longer on an idle machine and twice as long on a busy one.
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")
    # Modules are not garbage: to look for some among them takes a fifth of the time.
    gc.disable()
    try:
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # ours tell more
        yield
    finally:
        gc.freeze()
        gc.enable()
