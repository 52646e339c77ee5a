"""`imagen generate --url`: pictures drawn by a service, and every way in which that can end."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fastapi import Request, Response
from httpx import AsyncClient
from redis.asyncio import Redis
from typer.testing import Result

from app.client import service as client
from app.main import create_app
from app.settings import ApiSettings
from tests.app.commands.running import files_in, run, start
from tests.app.conftest import CARD, PNG, PlayedWorker, free_port, new_key, show
from tests.app.listening import listening, listening_app
from workers.jobs.job import Task
from workers.jobs.ledger import Ledger
from workers.jobs.queue import Effect

CAT = ("generate", "a red cat", "--size", "128")

PATIENCE_S = 60


async def generate(*options: str, **environment: str) -> Result:
    """In a thread, since the service is in this event loop."""
    return await asyncio.to_thread(run, *CAT, *options, **environment)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "cat.png"


@pytest.fixture
def in_the_way(output: Path) -> Path:
    """A folder where the file should be."""
    output.mkdir()
    return output


@pytest.mark.usefixtures("served")
async def test_a_picture_by_a_service(url: str, worker: PlayedWorker, output: Path) -> None:
    options = ("-o", str(output), "--seed", "7", "--url", url)
    done, _ = await asyncio.gather(generate(*options), worker.draw())
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{output}: 128 x 128 px, seed 7, ")
    assert files_in(output.parent) == {"cat.png": PNG}


@pytest.mark.usefixtures("served")
async def test_what_of_the_prompt_is_not_read_is_told_on_stderr(
    url: str, worker: PlayedWorker, output: Path
) -> None:
    worker.warnings = ('prompt: "red\x1b[2J" means nothing',)
    options = ("-o", str(output), "--url", url)
    done, _ = await asyncio.gather(generate(*options), worker.draw())
    assert (done.exit_code, done.stderr) == (0, 'imagen: prompt: "red [2J" means nothing\n')
    assert done.stdout.startswith(f"{output}: ")


@pytest.mark.usefixtures("served")
async def test_options_are_fields_of_the_request(
    url: str, worker: PlayedWorker, output: Path, settings: ApiSettings, redis: Redis
) -> None:
    options = ("-n", "2", "--negative", "a dog", "--steps", "20,8", "--eta", "0.5,", "--json")
    job = ("--priority", "low", "--deadline", "600", "--aug-level", "0.3")
    done, _ = await asyncio.gather(
        generate("-o", str(output), *options, *job, IMAGEN_URL=url), worker.draw()
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [Path(image["file"]).name for image in told["images"]] == ["cat-0.png", "cat-1.png"]
    assert [image["index"] for image in told["images"]] == [0, 1]
    asked = (await Ledger(redis, settings).job(told["job"])).parameters
    assert (asked.n, asked.negative_prompt, asked.size) == (2, "a dog", 128)
    assert [stage.steps for stage in asked.stages] == [20, 8]
    assert [stage.eta for stage in asked.stages] == [0.5, 0.0]
    assert asked.stages[1].aug_level == 0.3
    accepted = await Ledger(redis, settings).job(told["job"])
    assert accepted.priority == "low"
    assert accepted.deadline_at is not None


@pytest.mark.usefixtures("served")
async def test_it_can_be_left_to_the_service(url: str, settings: ApiSettings, redis: Redis) -> None:
    left = await generate("--no-wait", "--url", url)
    assert left.exit_code == 0, left.output
    job = await Ledger(redis, settings).job(left.stdout.strip())
    assert job.parameters.prompt == "a red cat"
    told = await generate("--no-wait", "--json", "--url", url)
    assert json.loads(told.stdout)["status"] == "queued"


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--steps", "5000"), "--steps is too large: use a whole number from 1 to 100, or "),
        (("--steps", "5,5000"), "--steps, value 2, is too large: use a whole number from 1 to"),
        (
            ("--seed", "-1", "-n", "9"),
            "--seed is too small: use a whole number from 0 to 4294967295, ",
        ),
        (("-n", "9"), "-n is too large: use a whole number from 1 to 4"),
        (("--guidance-interval", "0:1,0:1,0:1"), "use FROM:TO with 0 <= from <= to <= 1, or a"),
        (("--deadline", "-1"), "--deadline is too small"),
        (("--webhook", "here"), "--webhook "),
        (("--cascade", "mine"), "--cascade is for pictures drawn here, not at http://127.0.0.1"),
        (("--no-wait", "-o", "cat.png"), "--output is for `imagen jobs download`"),
    ],
)
async def test_what_cannot_be_asked_for_is_wrong_usage(
    url: str, options: tuple[str, ...], told: str
) -> None:
    refused = await generate("--url", url, *options)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"imagen: {told}") or told in line


async def test_without_a_worker_it_is_not_ready(url: str) -> None:
    refused = await generate("--url", url)
    assert refused.exit_code == 3
    assert refused.stderr == (
        "imagen: no worker is there to draw: start one with `imagen worker`\n"
    )


def test_without_a_service_it_is_not_ready() -> None:
    failed = run(*CAT, "--url", f"http://127.0.0.1:{free_port()}")
    assert failed.exit_code == 3
    assert "cannot be reached" in failed.stderr
    assert "`imagen serve`" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


async def test_a_full_queue_is_not_ready(settings: ApiSettings, redis: Redis) -> None:
    show(settings, CARD)
    small = settings.model_copy(update={"owner_images_per_minute": 1})
    async with listening(small) as url:
        assert (await generate("--no-wait", "--url", url)).exit_code == 0
        refused = await generate("--no-wait", "--url", url)
    assert refused.exit_code == 3
    assert "you have asked for too many images in a minute: try again in a while" in refused.stderr


async def test_a_key_is_asked_for_and_sent(
    settings: ApiSettings, redis: Redis, worker: PlayedWorker, output: Path
) -> None:
    show(settings, CARD)
    header = await new_key(redis, "ann")
    key = header["authorization"].removeprefix("Bearer ")
    guarded = settings.model_copy(update={"auth": "required"})
    async with listening(guarded) as url:
        refused = await generate("--url", url)
        assert refused.exit_code == 2
        assert refused.stderr.startswith(
            "imagen: this needs an API key: give a key with --key or IMAGEN_API_KEY; "
        )
        wrong = await generate("--url", url, "--key", "wrong")
        assert (wrong.exit_code, "is not known here" in wrong.stderr) == (2, True)
        asking = generate("-o", str(output), "--url", url, IMAGEN_API_KEY=key)
        done, _ = await asyncio.gather(asking, worker.draw())
    assert done.exit_code == 0, done.output
    assert files_in(output.parent) == {"cat.png": PNG}


@pytest.mark.usefixtures("served")
async def test_a_job_that_fails(url: str, worker: PlayedWorker, output: Path) -> None:
    failed, _ = await asyncio.gather(generate("-o", str(output), "--url", url), worker.fail())
    assert failed.exit_code == 1
    assert "has failed, 0 of its 1 pictures are drawn: there is no red left" in failed.stderr
    assert files_in(output.parent) == {}


@pytest.mark.usefixtures("served")
async def test_a_job_that_is_canceled_by_someone_else(
    url: str, worker: PlayedWorker, output: Path
) -> None:
    async def draw_one_and_cancel() -> None:
        first = await worker.begin()
        assert await worker.finish(first) is Effect.DONE
        await cancel(url, first)

    asking = generate("-o", str(output), "-n", "2", "--url", url)
    ended, _ = await asyncio.gather(asking, draw_one_and_cancel())
    assert ended.exit_code == 4
    assert "was canceled, 1 of its 2 pictures are drawn" in ended.stderr
    assert ended.stdout.startswith(f"{output.with_name('cat-0.png')}: ")


@pytest.mark.usefixtures("served")
async def test_a_job_that_expires(url: str, output: Path) -> None:
    ended = await generate("-o", str(output), "--deadline", "0.2", "--url", url)
    assert ended.exit_code == 4
    assert "has expired, 0 of its 1 pictures are drawn" in ended.stderr


@pytest.mark.usefixtures("served")
async def test_a_file_that_cannot_be_written(
    url: str, worker: PlayedWorker, in_the_way: Path
) -> None:
    failed, _ = await asyncio.gather(generate("-o", str(in_the_way), "--url", url), worker.draw())
    assert failed.exit_code == 1
    assert "Is a directory" in failed.stderr
    assert "`imagen jobs download " in failed.stderr


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(("status", "exit_code"), [(404, 1), (503, 3)])
async def test_a_picture_that_cannot_be_fetched(
    settings: ApiSettings,
    redis: Redis,
    worker: PlayedWorker,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    exit_code: int,
) -> None:
    monkeypatch.setattr(client, "PAUSE_S", 0.01)
    monkeypatch.setattr(client, "PATIENCE_S", 0.05)
    app = create_app(settings)

    @app.middleware("http")
    async def without_pictures(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        if request.url.path.startswith("/images/"):
            return Response(status_code=status)
        return await answer(request)

    async with listening_app(app) as url:
        asking = generate("-o", str(output), "--url", url)
        failed, _ = await asyncio.gather(asking, worker.draw())
    assert failed.exit_code == exit_code
    assert f"answers {status}" in failed.stderr
    assert "`imagen jobs download " in failed.stderr


@pytest.mark.usefixtures("served")
async def test_ctrl_c_cancels_the_job_and_keeps_what_is_done(
    url: str, worker: PlayedWorker, output: Path, settings: ApiSettings, redis: Redis
) -> None:
    with start(*CAT, "-n", "2", "-o", str(output), "--url", url) as asking:
        first = await worker.begin()
        assert await worker.finish(first) is Effect.DONE
        async with asyncio.timeout(PATIENCE_S):
            while "cat-0.png" not in files_in(output.parent):
                await asyncio.sleep(0.01)  # what another process does has no event to wait for
        asking.send_signal(signal.SIGINT)
        stdout, stderr = await asyncio.to_thread(asking.communicate)
    assert asking.returncode == 130
    assert stderr == f"imagen: job {first.job_id}: canceled\n"
    assert stdout.startswith(f"{output.with_name('cat-0.png')}: 128 x 128 px")
    assert (await Ledger(redis, settings).job(first.job_id)).status == "canceled"


@pytest.mark.usefixtures("served")
async def test_ctrl_c_before_the_answer_cancels_the_job_too(
    settings: ApiSettings, worker: PlayedWorker, redis: Redis
) -> None:
    app = create_app(settings)
    is_interrupted = asyncio.Event()

    @app.middleware("http")
    async def answer_late(
        request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await answer(request)
        if request.url.path == "/generate":
            await is_interrupted.wait()
        return response

    async with listening_app(app) as url:
        with start(*CAT, "--url", url) as asking:
            text = await worker.accept()
            asking.send_signal(signal.SIGINT)
            is_interrupted.set()
            _, stderr = await asyncio.to_thread(asking.communicate)
    assert (asking.returncode, stderr) == (130, f"imagen: job {text.job_id}: canceled\n")
    assert (await Ledger(redis, settings).job(text.job_id)).status == "canceled"


async def cancel(url: str, task: Task) -> None:
    async with AsyncClient(base_url=url) as client:
        assert (await client.post(f"/jobs/{task.job_id}/cancel")).status_code == 200
