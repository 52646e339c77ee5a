"""Images in a folder: written once and whole, and never outside it. See test_image_store.py."""

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from workers.jobs.errors import ImageNotFound, ImageStoreUnavailable
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import image_path

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


@pytest.mark.parametrize("path", [f"{'a' * 300}/0.png", f"0123abcd/{'0' * 300}.png", "../0.png"])
def test_what_can_be_no_image_is_not_found(store: FolderImageStore, path: str) -> None:
    store.put(PATH, b"png")
    with pytest.raises(ImageNotFound):
        store.get(path)


def test_a_folder_that_cannot_be_read_is_not_one_without_the_image(
    store: FolderImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(PATH, b"png")

    def worn_out(*arguments: object, **named: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/srv/images")

    monkeypatch.setattr(os, "open", worn_out)
    with pytest.raises(ImageStoreUnavailable, match=r"^Input/output error$"):
        store.get(PATH)


def full(descriptor: int) -> None:
    """In place of fsync: a disk that has no room."""
    raise OSError("no space left on device")


def test_a_failed_write_leaves_nothing(
    store: FolderImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(PATH, b"png")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        store.put(image_path("0123abcd", 1), b"png")
    assert names(tmp_path / "images" / "0123abcd") == ["0.png"]


def test_an_image_that_is_there_needs_no_room(
    store: FolderImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(PATH, b"png")
    monkeypatch.setattr(os, "fsync", full)
    assert store.put(PATH, b"another") == b"png"


def test_a_check_tells_whether_an_image_could_be_stored_and_leaves_nothing(
    store: FolderImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.check()
    assert names(tmp_path / "images") == []
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        store.check()
    assert names(tmp_path / "images") == []


def test_a_removed_image_is_gone_and_its_empty_folder_too(
    store: FolderImageStore, tmp_path: Path
) -> None:
    store.put(PATH, b"png")
    store.put(image_path("0123abcd", 1), b"png")
    store.remove(PATH)
    assert names(tmp_path / "images" / "0123abcd") == ["1.png"]
    store.remove(image_path("0123abcd", 1))
    assert names(tmp_path / "images") == []
    assert store.put(PATH, b"another") == b"another"


def test_a_removed_job_leaves_nothing_and_others_alone(
    store: FolderImageStore, tmp_path: Path
) -> None:
    for path in (PATH, image_path("0123abcd", 1), image_path("another", 0)):
        store.put(path, b"png")
    killed_writers(tmp_path / "images" / "0123abcd")
    store.remove_job("0123abcd")
    assert names(tmp_path / "images") == ["another"]


def test_removal_follows_no_symlink(store: FolderImageStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "0.png").write_bytes(b"not ours")
    store.put(PATH, b"png")
    (tmp_path / "images" / "folder").symlink_to(outside)
    with pytest.raises(OSError, match=r"symbolic|directory"):
        store.remove("folder/0.png")
    with pytest.raises(OSError, match=r"symbolic|directory"):
        store.remove_job("folder")
    assert (outside / "0.png").read_bytes() == b"not ours"


def killed_writers(folder: Path) -> None:
    """What two of them leave who die before they can link their image into place."""
    for image in (0, 1):
        (folder / f".{image}.png.0123456789abcdef").write_bytes(b"half an ima")


def test_who_writes_an_image_sweeps_what_a_killed_writer_left_of_it(
    store: FolderImageStore, tmp_path: Path
) -> None:
    folder = tmp_path / "images" / "0123abcd"
    folder.mkdir(parents=True)
    killed_writers(folder)
    store.put(PATH, b"png")
    assert names(folder) == [".1.png.0123456789abcdef", "0.png"]  # 1 may still be written


def test_of_many_who_write_at_once_one_is_first_and_all_see_its_image(
    store: FolderImageStore, tmp_path: Path
) -> None:
    writers = 8
    with ThreadPoolExecutor(writers) as threads:
        for image in range(20):
            path, start = image_path("0123abcd", image), Barrier(writers)

            def write(writer: int, path: str = path, start: Barrier = start) -> bytes:
                start.wait()
                return store.put(path, f"png of {writer}".encode())

            stored = set(threads.map(write, range(writers)))
            assert stored == {store.get(path)}
    assert len(names(tmp_path / "images" / "0123abcd")) == 20


@pytest.mark.parametrize("name", ["mkdir", "open", "link"])
def test_a_writer_whose_folder_is_removed_writes_all_the_same(
    store: FolderImageStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """By one who takes another image of the job away, right after each step of the writer's."""
    step: Callable[..., object] = getattr(os, name)
    removed: list[str] = []

    def followed_by_a_removal(*arguments: object, **named: object) -> object:
        done = step(*arguments, **named)
        if not removed and named.get("dir_fd", named.get("dst_dir_fd")) is not None:
            removed.append(name)
            store.remove_job("0123abcd")
        return done

    monkeypatch.setattr(os, name, followed_by_a_removal)
    data = store.put(PATH, b"png")
    monkeypatch.undo()
    assert removed == [name]
    assert data == b"png"
    if name != "link":  # it was whole, and was taken away as such
        assert store.get(PATH) == b"png"


def test_images_are_removed_while_others_write_them(
    store: FolderImageStore, tmp_path: Path
) -> None:
    """A write ends with the image, or is followed by its removal; nothing fails, nothing stays."""

    def write(attempt: int) -> bytes:
        return store.put(image_path("0123abcd", attempt % 3), b"png")

    def remove(attempt: int) -> None:
        store.remove_job("0123abcd") if attempt % 2 else store.remove(PATH)

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write, attempt) for attempt in range(300)]
        removing = [threads.submit(remove, attempt) for attempt in range(300)]
    assert {write.result() for write in writing} == {b"png"}
    assert {removal.result() for removal in removing} == {None}
    store.remove_job("0123abcd")
    assert names(tmp_path / "images") == []
