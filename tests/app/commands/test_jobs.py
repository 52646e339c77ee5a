"""`imagen jobs`: the jobs of a service, for people and for programs."""

import asyncio
import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from typer.testing import Result

from app.answers import JOB_EXAMPLE, JobAnswer
from app.client import service
from app.commands.job_text import age, lines, print_jobs, printable, standing
from tests.app.commands.running import files_in, run, start
from tests.app.conftest import PNG, PlayedWorker
from workers.jobs import keys


async def jobs(url: str, *arguments: str) -> Result:
    """In a thread, since the service is in this event loop."""
    return await asyncio.to_thread(run, "jobs", *arguments, "--url", url)


async def submit(url: str, prompt: str = "a red cat", *options: str) -> str:
    """The id of a new job."""
    arguments = ("generate", prompt, "--size", "128", "--no-wait", "--url", url, *options)
    accepted = await asyncio.to_thread(run, *arguments)
    assert accepted.exit_code == 0, accepted.output
    return accepted.stdout.strip()


async def test_there_may_be_none(url: str) -> None:
    none = await jobs(url, "list")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "There is no job.\n")
    assert json.loads((await jobs(url, "list", "--json")).stdout) == []


@pytest.mark.usefixtures("served")
async def test_a_table_the_newest_first(url: str, worker: PlayedWorker) -> None:
    first = await submit(url, "a red cat")
    await worker.draw()
    second = await submit(url, "a blue\ndog\x1b[2J")
    heading, *rows = (await jobs(url, "list")).stdout.splitlines()
    assert heading.split() == ["ID", "STATUS", "AGE", "DONE", "PROMPT"]
    assert [row.split()[:2] for row in rows] == [[second, "queued"], [first, "succeeded"]]
    assert "  0%  a blue dog [2J" in rows[0]
    assert "100%  a red cat" in rows[1]


def test_an_id_is_whole_however_long_a_prompt_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And so is the prompt, where there is no end of a line."""
    job = JobAnswer.model_validate(JOB_EXAMPLE)
    job.parameters.prompt = "a red apple beside " * 20 + "a cat"
    print_jobs([job])
    _, row = capsys.readouterr().out.splitlines()
    assert row.startswith(job.id)
    assert row.endswith(job.parameters.prompt)
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, a terminal
    monkeypatch.setenv("COLUMNS", "80")
    print_jobs([job])
    _, row = capsys.readouterr().out.splitlines()
    assert f"{job.id}  {job.status}  " in row
    assert len(row) <= 80


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("jobs_there", "options"),
    [(1, ()), (1, ("--json",)), (12, ("--json",))],
    ids=["table", "json", "more than a buffer holds"],
)
async def test_who_reads_may_have_enough(
    url: str, jobs_there: int, options: tuple[str, ...]
) -> None:
    """As `head` has: while all is written, or when it is."""
    for _ in range(jobs_there):
        await submit(url)
    with start("jobs", "list", *options, "--url", url) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert await asyncio.to_thread(listing.stderr.read) == ""
        assert await asyncio.to_thread(listing.wait) == 0


@pytest.mark.usefixtures("served")
async def test_what_cannot_be_written_is_a_failure(url: str) -> None:
    await submit(url)
    command = (sys.executable, "-m", "app.cli", "jobs", "list", "--url", url)
    to_full_disk = ("sh", "-c", 'exec "$0" "$@" > /dev/full', *command)
    failed = await asyncio.to_thread(
        subprocess.run, to_full_disk, stderr=subprocess.PIPE, text=True
    )
    assert failed.returncode == 1
    assert failed.stderr == "imagen: [Errno 28] No space left on device\n"


@pytest.mark.usefixtures("served")
async def test_some_of_them(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, as many as are asked for."""
    monkeypatch.setattr(service, "PAGE", 2)
    ids = [await submit(url, f"cat {i}") for i in range(5)]
    await jobs(url, "cancel", ids[0], ids[3])

    async def listed(*options: str) -> list[str]:
        told = await jobs(url, "list", "--json", *options)
        return [job["id"] for job in json.loads(told.stdout)]

    assert await listed("--all") == ids[::-1]
    assert await listed("--limit", "3") == ids[:1:-1]
    assert await listed("--limit", "1") == [ids[4]]
    assert await listed("--status", "canceled") == [ids[3], ids[0]]
    assert await listed("--prompt", "CAT 2") == [ids[2]]
    none = await jobs(url, "list", "--status", "expired")
    assert none.stderr == "There is no such job.\n"


@pytest.mark.usefixtures("served")
async def test_all_that_there_is_to_know(url: str, worker: PlayedWorker) -> None:
    job_id = await submit(url, "a red cat", "--negative", "a dog", "--seed", "7")
    await worker.draw()
    shown = (await jobs(url, "show", job_id)).stdout
    for told in (job_id, "succeeded", "a red cat", "a dog", "128 x 128 px, from seed 7 on"):
        assert told in shown
    assert "32: 30 steps of ddim, guidance 4 at 0:1, " in shown
    assert f"{url}/images/{job_id}/0.png" in shown
    assert json.loads((await jobs(url, "show", job_id, "--json")).stdout)["id"] == job_id


@pytest.mark.usefixtures("served")
async def test_watched_to_its_end(url: str, worker: PlayedWorker) -> None:
    job_id = await submit(url)
    watched, _ = await asyncio.gather(jobs(url, "watch", job_id, "--json"), worker.draw())
    assert watched.exit_code == 0, watched.output
    assert json.loads(watched.stdout)["status"] == "succeeded"
    canceled = await submit(url)
    await jobs(url, "cancel", canceled)
    watched = await jobs(url, "watch", canceled)
    assert (watched.exit_code, "was canceled" in watched.stderr) == (4, True)


@pytest.mark.usefixtures("served")
async def test_who_stops_watching_leaves_the_job(url: str, redis: Redis) -> None:
    job_id = await submit(url)
    with start("jobs", "watch", job_id, "--url", url) as watching:
        async with asyncio.timeout(60):
            while not await redis.exists(keys.events(job_id)):
                await asyncio.sleep(0.01)  # what another process does has no event to wait for
        watching.send_signal(signal.SIGINT)
        stdout, stderr = await asyncio.to_thread(watching.communicate)
    assert (watching.returncode, stdout, stderr) == (130, "", "")
    assert json.loads((await jobs(url, "show", job_id, "--json")).stdout)["status"] == "queued"


@pytest.mark.usefixtures("served")
async def test_ended(url: str) -> None:
    first, second = await submit(url), await submit(url)
    canceled = await jobs(url, "cancel", first, second)
    assert canceled.stdout == f"{first} canceled\n{second} canceled\n"
    deleted = await jobs(url, "delete", first)
    assert deleted.stdout == f"{first} canceled, deleted\n"
    left = json.loads((await jobs(url, "list", "--json")).stdout)
    assert [job["id"] for job in left] == [second]


@pytest.mark.usefixtures("served")
async def test_downloaded(
    url: str, worker: PlayedWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    job_id = await submit(url, "two red cats", "-n", "2", "--seed", "7")
    too_soon = await jobs(url, "download", job_id)
    assert (too_soon.exit_code, too_soon.stderr) == (
        1,
        f"imagen: job {job_id} has no pictures: it is queued\n",
    )
    await worker.draw()
    assert (
        await jobs(url, "download", job_id)
    ).stdout == "two-red-cats-7.png\ntwo-red-cats-8.png\n"
    assert (await jobs(url, "download", job_id, "-o", "cat.png")).exit_code == 0
    names = ("two-red-cats-7.png", "two-red-cats-8.png", "cat-0.png", "cat-1.png")
    assert files_in(tmp_path) == dict.fromkeys(names, PNG)


@pytest.mark.parametrize("command", ["show", "watch", "cancel", "delete", "download"])
async def test_an_unknown_job(url: str, command: str) -> None:
    for job_id in ("0" * 32, "?status=queued"):
        refused = await jobs(url, command, job_id)
        assert refused.exit_code == 2
        assert refused.stderr.startswith("imagen: there is no job of this id: `imagen jobs list` ")
    assert (await jobs(url, command, "../model")).exit_code == 2


def test_a_job_in_words() -> None:
    def told(**changes: object) -> str:
        return standing(JobAnswer.model_validate({**JOB_EXAMPLE, **changes}))

    assert told() == "succeeded"
    assert told(status="queued", queue_position=0) == "queued"
    assert told(status="queued", queue_position=12) == "queued, 12 before it"
    assert told(status="running", progress=0.456) == "running, 46%"
    assert told(status="canceled", deleted=True) == "canceled, deleted"


def test_why_a_job_failed_is_shown() -> None:
    error = {"code": "out_of_paint", "message": "there is no red left"}
    failed = JobAnswer.model_validate({**JOB_EXAMPLE, "status": "failed", "error": error})
    assert "error       there is no red left (out_of_paint)" in list(lines(failed))


def test_every_warning_is_shown() -> None:
    warned = JobAnswer.model_validate({**JOB_EXAMPLE, "warnings": ["one\x1b[2J", "two"]})
    shown = list(lines(warned))
    first = shown.index("warnings    one [2J")
    assert shown[first + 1] == "            two"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400, "1 d"), (1e6, "11 d")],
)
def test_an_age(seconds: float, told: str) -> None:
    assert age(timedelta(seconds=seconds)) == told


def test_a_prompt_commands_no_terminal() -> None:
    assert printable("a\x1b[31m red\r\n\tcat ☃") == "a [31m red cat ☃"
