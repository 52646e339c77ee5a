"""Children that die are restarted, children that are stopped end in order, and none is left."""

import asyncio
import errno
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.processes.supervisor import Program, ProgramRefused, RestartPolicy, Supervisor

PATIENCE_S = 20
AT_ONCE = RestartPolicy(first_pause_s=0.01)

STAND_IN = """
import os, signal, sys
name, fifo, obeys = sys.argv[1:]

def report(what):
    with open(fifo, "w") as file:
        file.write(f"{name} {what}\\n")

def stop(number, frame):
    report("stopping")
    if obeys == "obeys":
        sys.exit()

signal.signal(signal.SIGTERM, stop)
report(os.getpid())
while True:
    signal.pause()
"""


class Reports:
    """What the stand-ins say, line by line, through a named pipe."""

    def __init__(self, fifo: Path) -> None:
        self.fifo = fifo
        os.mkfifo(fifo)
        self._stream = asyncio.StreamReader()

    async def open(self) -> asyncio.ReadTransport:
        # Open for writing too: else a moment without a writer would end the stream.
        pipe = os.fdopen(os.open(self.fifo, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._stream), pipe
        )
        return transport

    async def next(self) -> tuple[str, str]:
        """(name, what it says): its process id when it starts, then "stopping"."""
        async with asyncio.timeout(PATIENCE_S):
            name, what = (await self._stream.readline()).decode().split()
        return name, what

    def stand_in(self, name: str, *, obeys: bool = True) -> Program:
        """A program that runs until SIGTERM, or until SIGKILL where it does not obey."""
        arguments = (name, str(self.fifo), "obeys" if obeys else "ignores")
        return Program(name, (sys.executable, "-S", "-c", STAND_IN, *arguments))


@pytest.fixture
async def reports(tmp_path: Path) -> AsyncIterator[Reports]:
    reports = Reports(tmp_path / "reports")
    transport = await reports.open()
    yield reports
    transport.close()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


async def stopped(supervisor: Supervisor, running: asyncio.Task[None]) -> None:
    supervisor.request_stop()
    async with asyncio.timeout(PATIENCE_S):
        await running


async def test_a_child_that_dies_is_restarted_and_it_is_said(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor([reports.stand_in("worker")], restarts=AT_ONCE)
    running = asyncio.create_task(supervisor.run())
    _, first = await reports.next()
    os.kill(int(first), signal.SIGKILL)
    _, second = await reports.next()
    await stopped(supervisor, running)
    assert first != second
    assert "worker was killed by SIGKILL; restarting it in 0.0 s" in caplog.text


async def test_children_are_stopped_one_after_another(reports: Reports) -> None:
    supervisor = Supervisor([reports.stand_in("api"), reports.stand_in("worker")])
    running = asyncio.create_task(supervisor.run())
    started = dict([await reports.next(), await reports.next()])
    await stopped(supervisor, running)
    assert [await reports.next(), await reports.next()] == [
        ("api", "stopping"),
        ("worker", "stopping"),
    ]
    assert not any(is_running(int(pid)) for pid in started.values())


async def test_what_outlasts_the_grace_period_is_killed(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = Supervisor([reports.stand_in("worker", obeys=False)], grace_s=0.1)
    running = asyncio.create_task(supervisor.run())
    _, pid = await reports.next()
    await stopped(supervisor, running)
    assert not is_running(int(pid))
    assert "still running after 0.1 s, killed: worker" in caplog.text


async def test_the_second_request_to_stop_kills(reports: Reports) -> None:
    supervisor = Supervisor([reports.stand_in("worker", obeys=False)], grace_s=10 * PATIENCE_S)
    running = asyncio.create_task(supervisor.run())
    _, pid = await reports.next()
    supervisor.request_stop()
    assert await reports.next() == ("worker", "stopping")
    await stopped(supervisor, running)
    assert not is_running(int(pid))


async def test_wrong_usage_ends_all_since_a_restart_would_not_help(reports: Reports) -> None:
    refusing = Program("worker", (sys.executable, "-S", "-c", "import sys; sys.exit(2)"))
    supervisor = Supervisor([reports.stand_in("api"), refusing])
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(ProgramRefused, match="worker cannot start"):
            await supervisor.run()


async def test_a_program_that_is_not_there_ends_all() -> None:
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            await Supervisor([Program("worker", ("/no-such-program",))]).run()


async def test_stopping_does_not_wait_for_the_pause_before_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dying = Program("worker", (sys.executable, "-S", "-c", "import sys; sys.exit(1)"))
    supervisor = Supervisor([dying], restarts=RestartPolicy(first_pause_s=10 * PATIENCE_S))
    died = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: died.set()  # type: ignore[method-assign]
    logging.getLogger("app.processes.supervisor").addHandler(handler)
    try:
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(PATIENCE_S):
            await died.wait()
        await stopped(supervisor, running)
    finally:
        logging.getLogger("app.processes.supervisor").removeHandler(handler)
    assert "worker ended with status 1" in caplog.text


async def test_ctrl_c_in_the_terminal_does_not_reach_the_children(reports: Reports) -> None:
    supervisor = Supervisor([reports.stand_in("worker")])
    running = asyncio.create_task(supervisor.run())
    _, pid = await reports.next()
    assert os.getsid(int(pid)) != os.getsid(0)
    await stopped(supervisor, running)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_children_end_with_a_supervisor_that_is_killed() -> None:
    child = "import signal; print('started', flush=True); signal.pause()"
    parent = (
        "import asyncio, sys; from app.processes.supervisor import Program, Supervisor;"
        f"program = Program('worker', (sys.executable, '-S', '-c', {child!r}));"
        "asyncio.run(Supervisor([program]).run())"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"started\n"
        supervisor.kill()
        # The pipe ends when the last process that holds it has ended: the child.
        assert supervisor.stdout.read() == b""


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_healthy_life() -> None:
    policy = RestartPolicy(first_pause_s=1, longest_pause_s=3, healthy_after_s=60)
    pauses_s = [0.0]
    for lived_s in (0, 0, 0, 61):
        pauses_s.append(policy.next_pause_s(pauses_s[-1], lived_s))
    assert pauses_s[1:] == [1, 2, 3, 1]
