"""Cascades of the Hugging Face hub: what is downloaded, and what is said when it cannot be."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from huggingface_hub import constants
from torch import Tensor

from model.cascade import Cascade
from model.errors import InvalidCascade
from model.loading.cascade_folder import read_cascade
from model.loading.hub import Repository
from model.plan import StageSettings
from tests.adapters import write_adapter
from tests.hub_server import COMMIT, HubServer, serving

ONE, TWO, LOCKED = "deep-floyd/IF-I", "deep-floyd/IF-II", "deep-floyd/locked"
STEM = "diffusion_pytorch_model"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of downloads, and a hub that cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.fixture
def repositories(if_folders: Path, tmp_path: Path) -> dict[str, Path]:
    """As IF's own: weights in full and in float16, and the same pickled."""
    one = Path(shutil.copytree(if_folders / "one", tmp_path / "one"))
    UNet2DConditionModel.from_pretrained(one / "unet").save_pretrained(
        one / "unet", variant="fp16", max_shard_size="2MB"
    )
    for pickled in (f"unet/{STEM}.bin", "text_encoder/pytorch_model.bin"):
        (one / pickled).write_bytes(b"pickled")
    (one / "setup.py").write_text("raise SystemExit")
    return {ONE: one, TWO: if_folders / "two", LOCKED: if_folders / "one"}


@pytest.fixture
def hub(repositories: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving(repositories, LOCKED) as server:
        address = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server


def drawn(source: str | Path) -> Tensor:
    """In two steps, which tell one network from another."""
    cascade = Cascade.load(source, "cpu,float32")
    settings = {"20": StageSettings(2, "ddim", 2.0)}
    return cascade.generate("a red cat", seed=1, settings=settings).pixels


def test_a_reference_is_an_id_and_maybe_a_revision() -> None:
    assert Repository.parse(ONE) == Repository(ONE, "main")
    assert Repository.parse(f"{ONE}@refs/pr/3") == Repository(ONE, "refs/pr/3")
    for path in ("folder", "./a/b", "/a/b", "a/b/c", "../b"):
        assert Repository.parse(path) is None


def test_configurations_are_all_that_reading_takes(hub: HubServer) -> None:
    spec = read_cascade(ONE)
    assert (spec.name, spec.stage_names, spec.text.width) == ("IF-I", ("20",), 32)
    assert all(name.endswith((".json", ".model")) for name in hub.downloaded)


def test_a_repository_draws_what_its_folder_draws(hub: HubServer, if_folders: Path) -> None:
    assert torch.equal(drawn(ONE), drawn(if_folders / "one"))


@pytest.mark.parametrize(("dtype", "infix"), [("float32", ""), ("bfloat16", ".fp16")])
def test_weights_come_in_one_variant_and_as_safetensors(
    hub: HubServer, dtype: str, infix: str
) -> None:
    Cascade.load(ONE, f"cpu,{dtype}")
    assert {Path(name).suffix for name in hub.downloaded} == {".json", ".model", ".safetensors"}
    weights = {name for name in hub.downloaded if name.endswith(".safetensors")}
    cut = "-00001-of-00002", "-00002-of-00002"
    of_unet = {f"unet/{STEM}{infix}{part}.safetensors" for part in (cut if infix else [""])}
    assert {name for name in weights if name.startswith("unet/")} == of_unet
    assert "text_encoder/model.safetensors" in weights


def test_only_wanted_parts_are_downloaded(hub: HubServer) -> None:
    cascade = Cascade.load(ONE, "cpu", stages=["text"])
    weights = {name for name in hub.downloaded if name.endswith(".safetensors")}
    assert weights == {"text_encoder/model.safetensors"}
    assert cascade.text.is_loaded


def test_a_worker_without_the_text_encoder_knows_its_identity(hub: HubServer) -> None:
    assert (
        Cascade.load(ONE, "cpu", stages=["20"]).text.identity
        == Cascade.load(ONE, "cpu", stages=["text"]).text.identity
    )


def test_an_adapter_of_the_hub_is_fetched_with_its_stage(
    hub: HubServer, repositories: dict[str, Path], if_folders: Path, tmp_path: Path
) -> None:
    repositories["someone/ink"] = write_adapter(tmp_path / "of", if_folders / "one", "ink")
    adapters = [{"name": "ink", "path": "someone/ink"}]
    one = str(if_folders / "one")
    listed = {"name": "if", "text": one, "stages": [one], "adapters": adapters}
    (tmp_path / "cascade.json").write_text(json.dumps(listed))
    assert Cascade.load(tmp_path, "cpu", stages=["text"]).spec.adapters[0].name == "ink"
    assert hub.downloaded == set()
    (stage,) = Cascade.load(tmp_path, "cpu", stages=["20"]).stages
    assert stage.network.adapters == ("ink",)
    assert hub.downloaded == {"pytorch_lora_weights.safetensors"}


@pytest.mark.parametrize("path", ["adapters/ink", "adapters/ink/pytorch_lora_weights.safetensors"])
def test_a_cascade_of_the_hub_has_adapters_of_its_own(
    hub: HubServer, repositories: dict[str, Path], if_folders: Path, tmp_path: Path, path: str
) -> None:
    """Of which nothing is on disk before they are fetched."""
    ours = Path(shutil.copytree(if_folders, tmp_path / "ours"))
    write_adapter(ours / "adapters" / "ink", ours / "one", "ink")
    listed = json.loads((ours / "cascade.json").read_text())
    listed["adapters"] = [{"name": "ink", "path": path}]
    (ours / "cascade.json").write_text(json.dumps(listed))
    repositories["someone/ours"] = ours
    (stage,) = Cascade.load("someone/ours", "cpu", stages=["20"]).stages
    assert stage.network.adapters == ("ink",)


def test_cascade_json_may_name_repositories(hub: HubServer, tmp_path: Path) -> None:
    listed = {"name": "if", "text": ONE, "stages": [f"{ONE}@v1.0", {"path": TWO, "steps": 3}]}
    (tmp_path / "cascade.json").write_text(json.dumps(listed))
    assert read_cascade(tmp_path).stage_names == ("20", "40")


def test_what_was_downloaded_serves_without_a_connection(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drawn(ONE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert torch.equal(before, drawn(ONE))


def test_weights_that_were_not_downloaded_are_missed_without_a_connection(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_cascade(ONE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidCascade, match=f"{ONE}: the cache lacks files of it, and the hub"):
        Cascade.load(ONE, "cpu,float32")


def test_a_cache_made_by_others_is_used(if_folders: Path, cache: Path) -> None:
    """Without the list of files that this version of the library keeps beside it."""
    repository = cache / "models--deep-floyd--IF-I"
    shutil.copytree(if_folders / "one", repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    assert torch.equal(drawn(ONE), drawn(if_folders / "one"))


def test_without_a_connection_or_a_cache(tmp_path: Path) -> None:
    named = rf"{ONE}: the cache lacks .* HF_HUB_OFFLINE.*; nor is there a folder {ONE} here"
    with pytest.raises(InvalidCascade, match=named):
        read_cascade(ONE)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("deep-floyd/none", "the hub has no such repository: check the id"),
        (f"{ONE}@v9", f"{ONE}: the hub has no revision v9 of it"),
        (LOCKED, f"accept its licence at https://huggingface.co/{LOCKED}, then `hf auth login`"),
    ],
)
def test_what_the_hub_refuses(hub: HubServer, source: str, named: str) -> None:
    with pytest.raises(InvalidCascade, match=named):
        read_cascade(source)
