"""`imagen train`: from a TOML file to a cascade that a service serves."""

import json
import signal
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from redis.asyncio import Redis

from model.cascade import Cascade
from tests.app.commands.running import imagen, run, start
from tests.model.training.tiny_run import write_pictures
from tests.serving import api, until_ready, worker_settings, working
from workers.jobs.settings import QueueSettings

FILE = """
name = "tiny"
folder = "run"

[data]
path = "pictures"

[text]
path = "{tiny}/base"
max_tokens = 6

[[stages]]
name = "base"
size_px = 8
network = "{tiny}/base"
sampling = {{ steps = 2, guidance_scale = 2.0 }}
training = {{ {base}, {usual} }}

[[stages]]
name = "large"
size_px = 16
crop_px = 8
network = "{tiny}/super_resolution"
sampling = {{ steps = 2, guidance_scale = 1.0, aug_level = 0.1 }}
training = {{ images = 8, {usual} }}
"""
USUAL = 'batch = 4, warmup_steps = 2, precision = "no", report_every_steps = 1, ema = 0.5'


@pytest.fixture
def config(tmp_path: Path, tiny_cascade: Path) -> Path:
    return write(tmp_path, tiny_cascade)


def write(folder: Path, tiny: Path, base: str = "images = 16", usual: str = USUAL) -> Path:
    """The training file, beside its pictures."""
    write_pictures(folder / "pictures")
    file = folder / "tiny.toml"
    file.write_text(FILE.format(tiny=tiny, base=base, usual=usual))
    return file


async def test_what_is_trained_is_served(
    config: Path, redis: Redis, queue_settings: QueueSettings
) -> None:
    trained = run("train", str(config))
    assert trained.exit_code == 0, trained.output
    folder = Path(trained.stdout.strip())
    assert folder == config.parent / "run" / "cascade"
    settings = worker_settings(queue_settings, folder)
    async with working(Cascade.load(folder), settings), api(queue_settings) as client:
        await until_ready(client)
        job = await client.post(
            "/generate", json={"prompt": "a red apple"}, headers={"prefer": "wait=60"}
        )
        answer = await client.get(job.json()["images"][0]["url"])
    with Image.open(BytesIO(answer.content)) as picture:
        assert (picture.format, picture.size) == ("PNG", (16, 16))


def test_one_stage_may_be_trained_alone(config: Path) -> None:
    trained = run("train", str(config), "--stage", "base")
    assert trained.exit_code == 0
    assert "large" not in trained.stderr
    described = json.loads((Path(trained.stdout.strip()) / "cascade.json").read_text())
    assert [stage["path"] for stage in described["stages"]] == ["base"]


def test_ctrl_c_is_saved_and_gone_on_from(tmp_path: Path, tiny_cascade: Path) -> None:
    config = write(tmp_path, tiny_cascade, "images = 2000")
    process = start("train", str(config))
    assert process.stderr is not None
    while "base: step 3 of 500" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    (checkpoint,) = (tmp_path / "run" / "base" / "checkpoints").iterdir()
    step = int(checkpoint.stem.removeprefix("step-"))
    assert 3 <= step < 500
    write(tmp_path, tiny_cascade, f"images = {4 * (step + 2)}")
    resumed = run("train", str(config))
    assert resumed.exit_code == 0
    steps = [line for line in resumed.stderr.splitlines() if line.startswith("base: step")]
    assert [line.split(",")[0] for line in steps] == [
        f"base: step {step + done} of {step + 2}" for done in (1, 2)
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('name = "large"', 'name = "base"', "stages: each has a name of its own"),
        ("max_tokens", "tokens", "text.tokens: is not a field that is known here"),
        ("size_px = 16", "size_px = 4", "stages: each enlarges the one before"),
        ("batch = 4", "batch = 0", "stages.0.training.batch: Input should be greater than"),
        ("batch = 4", "batch = 4, accumulation = 3", "stages.base.training.batch: 4 cannot be cut"),
        ('network = "', 'network = "no', "is missing: name a folder that is there"),
        ("[data]", "[data", "is not TOML"),
    ],
)
def test_wrong_usage_names_file_and_field(config: Path, old: str, new: str, told: str) -> None:
    config.write_text(config.read_text().replace(old, new))
    refused = run("train", str(config))
    assert (refused.exit_code, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"imagen: {config}: ")
    assert told in line
    assert not (config.parent / "run").exists()


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    refused = run("train", str(tmp_path / "no.toml"))
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "no.toml: No such file or directory: give the path of a TOML file" in refused.stderr


def test_a_loss_that_is_not_finite_fails_with_the_step(tmp_path: Path, tiny_cascade: Path) -> None:
    config = write(tmp_path, tiny_cascade, "images = 400, rate = 1e30, clip = inf")
    failed = imagen("train", str(config))
    assert failed.returncode == 1
    assert "imagen: the loss is " in failed.stderr
    assert "at step 2: start again with a lower `rate`" in failed.stderr
