"""A process that has loaded torch and a cascade, and forks workers from itself in milliseconds.

Each line of its input asks for a worker; each line of its output is an Event, its workers' among
them. It has one thread, or a fork would copy locks that no one will ever open.
"""

import json
import logging
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from app.processes.parent_death import dies_with_parent
from model.cascade import Cascade
from tests.chaos.events import tell
from tests.chaos.faults import Traps, set_up
from workers import main as worker_main
from workers.settings import WorkerSettings

STDIN, STDOUT, STDERR = 0, 1, 2


class Zygote:
    """Runs until its input ends; then its workers are killed."""

    def __init__(self, cascade: Cascade, traps: Traps, events: int) -> None:
        self._cascade = cascade
        self._traps = traps
        self._events = events
        self._wakeup, wakeup = os.pipe()
        self._children: set[int] = set()
        os.set_blocking(wakeup, False)
        os.set_blocking(self._wakeup, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup)

    def run(self) -> NoReturn:
        for line in self._lines():
            asked = json.loads(line)
            if "signal" in asked:
                self._send(asked["pid"], asked["signal"])
            else:
                self._start(asked)
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        os._exit(0)  # to take torch down in good order would take a second

    def _lines(self) -> Iterator[bytes]:
        """Lines of the input; children that change are told of meanwhile."""
        selector = selectors.DefaultSelector()
        selector.register(STDIN, selectors.EVENT_READ)
        selector.register(self._wakeup, selectors.EVENT_READ)
        read = b""
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if self._wakeup in ready:
                os.read(self._wakeup, 1024)
                self._tell_of_children()
            if STDIN in ready:
                more = os.read(STDIN, 65536)
                if not more:
                    return
                *lines, read = (read + more).split(b"\n")
                yield from lines

    def _start(self, asked: dict[str, Any]) -> None:
        die_with_us = dies_with_parent(signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            if die_with_us is not None:
                die_with_us()
            self._be_worker(asked)
        self._children.add(pid)
        tell(self._events, what="started", pid=pid, request=asked["request"])

    def _send(self, pid: int, number: int) -> None:
        """Only to a child that is not told to have ended: its number may be another's by now."""
        if pid in self._children:
            os.kill(pid, number)

    def _be_worker(self, asked: dict[str, Any]) -> NoReturn:
        """`imagen worker`, but for the loading."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(STDIN)
        settings = WorkerSettings.model_validate(asked["settings"])
        set_up(self._traps, self._events, asked["store_patience_s"])
        status = 1
        try:
            worker_main.load = lambda settings: self._cascade
            worker_main.run(settings)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            logging.shutdown()
            os._exit(status)

    def _tell_of_children(self) -> None:
        for pid in list(self._children):
            flags = os.WNOHANG | os.WUNTRACED | os.WCONTINUED
            changed, status = os.waitpid(pid, flags)
            if not changed:
                continue
            if os.WIFSTOPPED(status):
                tell(self._events, what="stopped", pid=pid)
            elif os.WIFCONTINUED(status):
                tell(self._events, what="continued", pid=pid)
            else:
                self._children.remove(pid)
                exited = os.waitstatus_to_exitcode(status)
                tell(self._events, what="exited", pid=pid, status=exited)


def main() -> None:
    """Arguments: settings of a worker as JSON, and the folder of traps."""
    settings = WorkerSettings.model_validate_json(sys.argv[1])
    # What anyone prints is no event.
    events = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    logging.basicConfig(
        format="%(asctime)s.%(msecs)03d %(process)d %(levelname)-7s %(message)s",
        datefmt="%H:%M:%S",
        level=logging.INFO,
    )
    cascade = worker_main.load(settings)
    assert threading.active_count() == 1
    Zygote(cascade, Traps(Path(sys.argv[2])), events).run()


if __name__ == "__main__":
    main()
