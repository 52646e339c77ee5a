"""A line for people or an object for programs; all that a process logs comes as the same."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from app.processes.embedded_queue import EmbeddedQueue
from app.settings import ApiSettings
from app.telemetry.logs import LogSettings, handler
from tests.app.conftest import client_of
from workers.jobs.job import JobStatus

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}

log = logging.getLogger("tests.something")

EVERY_SOURCE = """
import logging, warnings
from app.telemetry.logs import LogSettings, set_up
set_up("api", LogSettings())
logging.getLogger("uvicorn.error").warning("a port", extra={"color_message": "a coloured port"})
warnings.warn("an old habit")
logging.getLogger("httpx").info("GET /readyz")
logging.info("ours")
"""


@contextmanager
def logged(log_format: Literal["text", "json"]) -> Iterator[io.StringIO]:
    """What is logged within, as the API would write it."""
    stream = io.StringIO()
    writes = handler("api", LogSettings(log_format=log_format), stream)
    root = logging.getLogger()
    level = root.level
    root.addHandler(writes)
    root.setLevel(logging.INFO)
    try:
        yield stream
    finally:
        root.removeHandler(writes)
        root.setLevel(level)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_line_for_people_says_when_and_who() -> None:
    with logged("text") as stream:
        log.warning("job %s waits", "12ab", extra={"job": "12ab"})
    time, process, level, *words = stream.getvalue().split()
    assert time.count(":") == 2
    assert (process, level, words) == ("api", "WARNING", ["job", "12ab", "waits"])


def test_people_are_told_of_a_job_once() -> None:
    """When it has ended; programs are also told when it is accepted."""
    with logged("text") as for_people, logged("json") as for_programs:
        for status in (JobStatus.QUEUED, JobStatus.SUCCEEDED):
            log.info("job 12ab %s", status, extra={"status": status})
    assert for_people.getvalue().count("job 12ab") == 1
    assert [line["status"] for line in objects(for_programs.getvalue())] == ["queued", "succeeded"]


def test_an_object_says_what_it_is_about() -> None:
    with logged("json") as stream:
        log.info("%d rows", 4, extra={"stage": "128"})
    (line,) = objects(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "tests.something",
        "message": "4 rows",
        "process": "api",
        "stage": "128",
    }


def test_a_traceback_is_part_of_its_line() -> None:
    with logged("json") as stream:
        try:
            raise ArithmeticError("no ground")
        except ArithmeticError:
            log.exception("a bug")
    (line,) = objects(stream.getvalue())
    assert "Traceback" in line["exception"]
    assert "no ground" in line["exception"]


async def test_what_a_request_logs_belongs_to_its_trace(tmp_path: Path) -> None:
    settings = ApiSettings(
        redis_url=EmbeddedQueue(tmp_path).url,  # which was never started
        data_dir=tmp_path,
        auth="none",
    )
    with logged("json") as stream:
        async with client_of(settings) as client:
            answer = await client.get("/jobs/12ab", headers=TRACEPARENT)
            assert answer.status_code == 503
    traced = [line for line in objects(stream.getvalue()) if "trace" in line]
    assert [line["trace"] for line in traced] == [TRACE]
    assert "/jobs/12ab" in traced[0]["message"]


def test_whatever_is_logged_in_a_process_comes_in_its_format() -> None:
    done = run("-c", EVERY_SOURCE, IMAGEN_LOG_FORMAT="json")
    lines = objects(done.stderr)
    assert [line["logger"] for line in lines] == ["uvicorn.error", "py.warnings", "root"]
    assert "an old habit" in lines[1]["message"]
    assert "color_message" not in lines[0]


def test_the_least_that_is_logged_can_be_set() -> None:
    done = run("-c", EVERY_SOURCE, IMAGEN_LOG_LEVEL="Warning")
    assert "an old habit" in done.stderr
    assert "ours" not in done.stderr


def test_a_format_that_there_is_not_is_refused_by_name() -> None:
    done = run("-m", "app.cli", "api", IMAGEN_LOG_FORMAT="xml")
    assert done.returncode == 2
    assert "IMAGEN_LOG_FORMAT" in done.stderr
    assert "'text' or 'json'" in done.stderr
