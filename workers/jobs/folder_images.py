"""Finished images in a folder, which API and workers share."""

import errno
import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from workers.jobs.errors import ImageNotFound, ImageStoreUnavailable
from workers.jobs.image_store import CHECK_BYTES, image_path, split_path


class FolderImageStore:
    """An ImageStore in a folder. Follows no symlink below it, and shows no half-written image."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, data: bytes) -> bytes:
        """See ImageStore. On disk before it returns.

        Raises: OSError where the folder cannot be written.
        """
        folder_name, name = split_path(path)
        while True:
            # Who removes another image of the job may take the folder away at any step.
            with suppress(FileNotFoundError):
                return self._put(folder_name, name, data)

    def _put(self, folder_name: str, name: str, data: bytes) -> bytes:
        self._root.mkdir(parents=True, exist_ok=True)
        with _folder(self._root) as root:
            try:
                os.mkdir(folder_name, dir_fd=root)
                os.fsync(root)
            except FileExistsError:
                pass
            with _folder(folder_name, root) as folder:
                # Looked for first: one that is there needs no room.
                with suppress(FileExistsError):
                    if name not in _names(folder):
                        _write(folder, name, data)
                data = _read(folder, name)
                _sweep(folder, name)
        return data

    def check(self) -> None:
        """See ImageStore."""
        self._root.mkdir(parents=True, exist_ok=True)
        name = f".check.{secrets.token_hex(8)}"
        with _folder(self._root) as root, _new_file(root, name) as file:
            os.unlink(name, dir_fd=root)
            _write_through(file, bytes(CHECK_BYTES))

    def get(self, path: str) -> bytes:
        """See ImageStore."""
        try:
            folder_name, name = split_path(path)
            with _folder(self._root) as root, _folder(folder_name, root) as folder:
                return _read(folder, name)
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:
            raise ImageNotFound(path) from error
        except OSError as error:
            if error.errno == errno.ELOOP:  # a symlink
                raise ImageNotFound(path) from error
            raise ImageStoreUnavailable(error.strerror or type(error).__name__) from error

    def remove(self, path: str) -> None:
        """See ImageStore.

        Raises: OSError where the folder cannot be written.
        """
        folder_name, name = split_path(path)
        with suppress(FileNotFoundError):
            with _folder(self._root) as root, _folder(folder_name, root) as folder:
                os.unlink(name, dir_fd=folder)
            self._remove_empty(folder_name)

    def remove_job(self, job_id: str) -> None:
        """See ImageStore.

        Raises: OSError where the folder cannot be written.
        """
        folder_name, _ = split_path(image_path(job_id, 0))
        with suppress(FileNotFoundError):
            with _folder(self._root) as root, _folder(folder_name, root) as folder:
                for name in _names(folder):
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
            self._remove_empty(folder_name)

    def _remove_empty(self, folder_name: str) -> None:
        """One that has an image again, by a worker that came late, stays."""
        with _folder(self._root) as root, suppress(OSError):
            os.rmdir(folder_name, dir_fd=root)


@contextmanager
def _folder(path: str | Path, within: int | None = None) -> Generator[int]:
    """A folder as a descriptor. Names resolved from it cannot be swapped for a symlink."""
    follow = os.O_NOFOLLOW if within is not None else 0
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | follow, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(folder: int, name: str, data: bytes) -> None:
    """Writes beside, then links into place: the name shows the whole image, or nothing.

    Raises: FileExistsError where the name is taken.
    """
    beside = f".{name}.{secrets.token_hex(8)}"
    try:
        with _new_file(folder, beside) as file:
            _write_through(file, data)
        try:
            os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError as error:  # swept away by one who was faster
            raise FileExistsError(name) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(beside, dir_fd=folder)
    os.fsync(folder)


def _new_file(folder: int, name: str) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    return os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb")


def _write_through(file: BinaryIO, data: bytes) -> None:
    """On disk when this returns."""
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _sweep(folder: int, name: str) -> None:
    """Unlinks what others have left, or are writing, beside an image that is there."""
    for beside in _names(folder):
        if beside.startswith(f".{name}."):
            with suppress(FileNotFoundError):
                os.unlink(beside, dir_fd=folder)


def _read(folder: int, name: str) -> bytes:
    with os.fdopen(os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder), "rb") as file:
        return file.read()


def _names(folder: int) -> list[str]:
    return os.listdir(folder)
