"""Images in a folder: written once and whole, and never outside it."""

import os
from pathlib import Path

import pytest

from workers.jobs.errors import ImageNotFound
from workers.jobs.image_store import FolderImageStore, image_path

PATH = image_path("0123abcd", 0)


@pytest.fixture
def store(tmp_path: Path) -> FolderImageStore:
    return FolderImageStore(tmp_path / "images")


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_an_image_comes_back_as_it_was_put(store: FolderImageStore, tmp_path: Path) -> None:
    assert store.put(PATH, b"png") == b"png"
    assert store.get(PATH) == b"png"
    assert names(tmp_path / "images" / "0123abcd") == ["0.png"]


def test_the_first_image_stays(store: FolderImageStore) -> None:
    store.put(PATH, b"first")
    assert store.put(PATH, b"second") == b"first"
    assert store.get(PATH) == b"first"


def test_a_missing_image_is_not_found(store: FolderImageStore) -> None:
    with pytest.raises(ImageNotFound):
        store.get(PATH)
    store.put(PATH, b"png")
    with pytest.raises(ImageNotFound):
        store.get(image_path("0123abcd", 1))


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "job/../../0.png",
        "/etc/0.png",
        "job/0.png/",
        "job/0.txt",
        "job/.0.png",
        "../0.png",
        "job/0.png\n",
        "job//0.png",
        "0.png",
        "",
        "job\0/0.png",
    ],
)
def test_a_path_that_names_no_image_is_refused(store: FolderImageStore, path: str) -> None:
    with pytest.raises(ImageNotFound):
        store.get(path)
    with pytest.raises(ValueError, match="path of an image"):
        store.put(path, b"png")


def test_symlinks_are_not_followed(store: FolderImageStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0.png").write_bytes(b"secret")
    store.put(PATH, b"png")
    (tmp_path / "images" / "folder").symlink_to(outside)
    (tmp_path / "images" / "0123abcd" / "1.png").symlink_to(outside / "0.png")
    for path in ("folder/0.png", "0123abcd/1.png"):
        with pytest.raises(ImageNotFound):
            store.get(path)
        with pytest.raises(OSError, match=r"symbolic|directory"):
            store.put(path, b"png")
    assert (outside / "0.png").read_bytes() == b"secret"
    assert names(outside) == ["0.png"]


def test_a_failed_write_leaves_nothing(
    store: FolderImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    store.put(PATH, b"png")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        store.put(image_path("0123abcd", 1), b"png")
    assert names(tmp_path / "images" / "0123abcd") == ["0.png"]
