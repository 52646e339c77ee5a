"""Whether the image store takes pictures. A worker without one takes no work."""

import asyncio
import logging

from workers.jobs.image_store import ImageStore
from workers.patience import Patience

CHECK_PAUSE_S = 2.0

log = logging.getLogger(__name__)


class StoreWatch:
    """Told when a picture cannot be stored; finds out by itself when one can be again."""

    def __init__(self, images: ImageStore, patience: Patience) -> None:
        self._images = images
        self._patience = patience
        self._away = asyncio.Event()
        self.trouble = ""
        """The latest, in words."""

    @property
    def is_away(self) -> bool:
        return self._away.is_set()

    def report(self, error: Exception) -> None:
        """A picture could not be stored."""
        if not self.is_away:
            log.warning("the image store takes no pictures, so no work is taken: %s", error)
        self.trouble = str(error)
        self._away.set()

    def wake(self) -> None:
        """Let watch() see that patience is over."""
        self._away.set()

    async def watch(self) -> None:
        """Until patience is over."""
        while not self._patience.is_over:
            await self._away.wait()
            await self._patience.pause(CHECK_PAUSE_S)
            if self._patience.is_over:
                return
            try:
                await asyncio.to_thread(self._images.check)
            except OSError:
                continue
            log.info("the image store takes pictures again")
            self._away.clear()
