"""A worker's sign of life, from a thread of its own: a blocked event loop is not a death."""

import logging
import threading
from types import TracebackType
from typing import Self

from workers.jobs import card, keys
from workers.jobs.card import CascadeCard, WorkerCard
from workers.jobs.connect import connect_blocking, queue_errors
from workers.jobs.errors import QueueUnavailable
from workers.jobs.scripts import source
from workers.jobs.settings import QueueSettings

BEATS_PER_LEASE = 5

log = logging.getLogger(__name__)


class Heartbeat:
    """Renews the worker's key, its card and the cascade's until it is stopped.

    While Redis is away it keeps trying. `stop` deletes the worker's key, so that what it left
    unfinished can be taken at once.
    """

    def __init__(self, settings: QueueSettings, worker: WorkerCard, cascade: CascadeCard) -> None:
        self._lease_s = settings.lease_s
        self._pause_s = settings.lease_s / BEATS_PER_LEASE
        self._worker = worker
        self._cascade = cascade
        self._redis = connect_blocking(settings, timeout_s=self._pause_s)
        self._stopped = threading.Event()
        # A daemon: a worker whose main thread has died must not look alive.
        self._thread = threading.Thread(
            target=self._beat_until_stopped, name="heartbeat", daemon=True
        )

    def start(self) -> None:
        """Returns after the first beat: from then on the worker may claim.

        Raises: QueueUnavailable.
        """
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; deletes the worker's key and card, where Redis can be reached."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            with queue_errors():
                self._redis.delete(keys.worker(self._worker.name))
            card.withdraw_worker(self._redis, self._worker)
        except QueueUnavailable as error:
            log.warning("the heartbeat ends by its lease: %s", error)
        self._redis.close()

    def beat(self) -> None:
        """One sign of life: worker alive and both cards shown, for lease_s.

        Raises: QueueUnavailable.
        """
        beat = self._redis.register_script(source("beat"))
        with queue_errors():
            beat([], [self._worker.name, round(self._lease_s * 1000)])
        # The cascade's card last: it is what makes the service ready, which then knows its worker.
        card.publish_worker(self._redis, self._worker, self._lease_s)
        card.publish(self._redis, self._cascade, self._lease_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _beat_until_stopped(self) -> None:
        while not self._stopped.wait(self._pause_s):
            try:
                self.beat()
            except QueueUnavailable as error:
                log.warning("missed a heartbeat: %s", error)
            except Exception:  # no one would start the thread again
                log.exception("missed a heartbeat")
