"""Finished images in an object store: S3, and whatever obstore knows that is like it."""

import errno
import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from workers.jobs.errors import ImageNotFound, ImageStoreUnavailable
from workers.jobs.image_store import CHECK_BYTES, image_path, split_path

if TYPE_CHECKING:
    from obstore.store import AzureStore, GCSStore, S3Store

    Bucket = S3Store | GCSStore | AzureStore

MOST_RACES = 5

STATUS = re.compile(r"status code: (\d+ [A-Za-z ]*[A-Za-z])")
CODE = re.compile(r"<Code>(\w+)</Code>")


class ObjectImageStore:
    """An ImageStore below a prefix of a bucket. An object is there whole, or not at all."""

    def __init__(self, bucket: "Bucket") -> None:
        """bucket: whose requests end in bounded time: a worker that waits for one looks alive."""
        self._bucket = bucket

    def put(self, path: str, data: bytes) -> bytes:
        """See ImageStore. The store itself refuses the second of two who write at once."""
        split_path(path)
        for _ in range(MOST_RACES):
            with suppress(FileExistsError):
                self._create(path, data)
                return data
            with suppress(FileNotFoundError):  # removed by another, just now
                return self._read(path)
        raise OSError(errno.EBUSY, "the object store says that the image is there, and is not")

    def check(self) -> None:
        """See ImageStore."""
        path = f".check.{secrets.token_hex(8)}"
        self._create(path, bytes(CHECK_BYTES))
        self._delete([path])

    def get(self, path: str) -> bytes:
        """See ImageStore."""
        with _found(path):
            return self._read(path)

    def find(self, path: str) -> None:
        """Looks whether an image is there, and reads no byte of it.

        Raises: ImageNotFound, ImageStoreUnavailable.
        """
        with _found(path), _as_os_errors():
            obstore.head(self._bucket, path)

    def remove(self, path: str) -> None:
        """See ImageStore."""
        split_path(path)
        self._delete([path])

    def remove_job(self, job_id: str) -> None:
        """See ImageStore."""
        split_path(image_path(job_id, 0))
        with _as_os_errors(), suppress(FileNotFoundError):
            for batch in obstore.list(self._bucket, job_id):
                self._delete([each["path"] for each in batch])

    def _create(self, path: str, data: bytes) -> None:
        """Raises: FileExistsError where there is one already; OSError."""
        png = {"Content-Type": "image/png"}
        try:
            with _as_os_errors():
                obstore.put(self._bucket, path, data, mode="create", attributes=png)
        except FileNotFoundError as error:
            raise OSError(errno.ENOENT, "the object store has no such bucket") from error

    def _read(self, path: str) -> bytes:
        """Raises: FileNotFoundError, OSError."""
        with _as_os_errors():
            return bytes(obstore.get(self._bucket, path).bytes())

    def _delete(self, paths: list[str]) -> None:
        with _as_os_errors(), suppress(FileNotFoundError):
            obstore.delete(self._bucket, paths)


class SignedImages:
    """URLs of images in a bucket: whoever has one can read its image for a while, and no other."""

    def __init__(self, images: ObjectImageStore, signing: "Bucket", ttl_s: int) -> None:
        """signing: the same bucket, at the host that clients reach it by.

        Nothing is asked of it, but credentials may have to be fetched: this, and `url`, can block.
        Raises: OSError where there is nothing to sign with.
        """
        self._images = images
        self._signing = signing
        self._ttl = timedelta(seconds=ttl_s)
        host = urlsplit(self._sign(image_path("any", 0), "GET"))
        self.origin = f"{host.scheme}://{host.netloc}"
        """Of every URL."""

    def url(self, path: str, method: Literal["GET", "HEAD"]) -> str:
        """A URL for this method, signed now; the image is there now.

        Raises: ImageNotFound, ImageStoreUnavailable.
        """
        self._images.find(path)
        with _found(path):
            return self._sign(path, method)

    def _sign(self, path: str, method: Literal["GET", "HEAD"]) -> str:
        with _as_os_errors():
            return obstore.sign(self._signing, method, path, self._ttl)


@contextmanager
def _found(path: str) -> Generator[None]:
    """For who reads: ImageNotFound, or ImageStoreUnavailable for whatever else is wrong."""
    try:
        split_path(path)
        yield
    except (FileNotFoundError, ValueError) as error:
        raise ImageNotFound(path) from error
    except OSError as error:
        raise ImageStoreUnavailable(str(error)) from error


@contextmanager
def _as_os_errors() -> Generator[None]:
    """obstore's own errors as OSError, in words that name neither host nor key."""
    try:
        yield
    except AlreadyExistsError as error:
        raise FileExistsError(errno.EEXIST, "the object is there already") from error
    except BaseError as error:
        raise OSError(errno.EIO, _words(str(error))) from None


def _words(message: str) -> str:
    """Of obstore's, which has the request in it, and all that was answered."""
    status, code = STATUS.search(message), CODE.search(message)
    if status is None:
        return "the object store does not answer"
    return f"the object store answers {status[1]}" + (f" ({code[1]})" if code else "")
