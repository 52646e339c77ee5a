"""Images in an object store, where it is not as a folder is. See test_image_store.py."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Barrier

import httpx
import obstore
import pytest

from tests.app.conftest import free_port
from tests.object_store import use_s3
from workers.jobs import open_images
from workers.jobs.errors import ImageNotFound, ImageStoreUnavailable
from workers.jobs.image_store import image_path
from workers.jobs.object_images import ObjectImageStore, SignedImages
from workers.jobs.open_images import open_image_store, open_signed_images
from workers.jobs.settings import QueueSettings

PATH = image_path("0123abcd", 0)


def opened(url: str) -> ObjectImageStore:
    store = open_image_store(QueueSettings(images_url=url))
    assert isinstance(store, ObjectImageStore)
    return store


def signed(store: ObjectImageStore, url: str, ttl_s: int = 60) -> SignedImages:
    return open_signed_images(store, url, None, ttl_s)


def names(store: ObjectImageStore) -> list[str]:
    return sorted(each["path"] for batch in obstore.list(store._bucket) for each in batch)


def test_nothing_but_images_stays_in_the_bucket(bucket_url: str) -> None:
    store = opened(bucket_url)
    store.check()
    assert names(store) == []
    store.put(PATH, b"png")
    store.check()
    assert names(store) == [PATH]
    assert opened(bucket_url).get(PATH) == b"png"
    with pytest.raises(ImageNotFound):
        opened(bucket_url.removesuffix("/prefix")).get(PATH)


def test_an_image_that_is_removed_while_it_is_found_there_is_put_again(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, another = opened(bucket_url), opened(bucket_url)
    another.put(PATH, b"first")
    read = store._read

    def read_what_is_removed(path: str) -> bytes:
        another.remove(path)
        return read(path)

    monkeypatch.setattr(store, "_read", read_what_is_removed)
    assert store.put(PATH, b"second") == b"second"
    assert another.get(PATH) == b"second"


def test_whoever_has_a_signed_url_reads_one_image_as_a_png(bucket_url: str) -> None:
    store = opened(bucket_url)
    store.put(PATH, b"png")
    images = signed(store, bucket_url)
    url = images.url(PATH, "GET")
    assert url.startswith(f"{images.origin}/")
    assert "X-Amz-Expires=60&" in url
    assert "a-secret" not in url
    answer = httpx.get(url, trust_env=False)
    assert (answer.content, answer.headers["content-type"]) == (b"png", "image/png")
    for missing in (image_path("0123abcd", 1), "../0.png"):
        with pytest.raises(ImageNotFound):
            images.url(missing, "GET")


@contextmanager
def away() -> Iterator[int]:
    yield free_port()


@contextmanager
def hanging() -> Iterator[int]:
    """Takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


class Denial(BaseHTTPRequestHandler):
    """What S3 says to a key that may not."""

    def do_any(self) -> None:
        body = b"<Error><Code>AccessDenied</Code><Message>AKIA who</Message></Error>"
        self.send_response(403)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_PUT = do_POST = do_HEAD = do_any  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def denying() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Denial) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (away, "the object store does not answer"),
        (hanging, "the object store does not answer"),
        (denying, "the object store answers 403 Forbidden"),
    ],
)
def test_what_is_wrong_with_a_store_is_told_soon_and_without_names(
    monkeypatch: pytest.MonkeyPatch, trouble: Callable[[], AbstractContextManager[int]], words: str
) -> None:
    monkeypatch.setattr(open_images, "REQUEST_S", 0.5)
    monkeypatch.setattr(open_images, "RETRY_S", 0.5)
    with trouble() as port:
        use_s3(monkeypatch, f"http://127.0.0.1:{port}")
        store = opened("s3://bucket/prefix")
        images = signed(store, "s3://bucket/prefix")
        started_s = time.monotonic()
        for write in (
            lambda: store.put(PATH, b"png"),
            store.check,
            lambda: store.remove(PATH),
            lambda: store.remove_job("0123abcd"),
        ):
            with pytest.raises(OSError, match=words) as caught:
                write()
            assert caught.value.strerror is not None
            assert caught.value.strerror.removesuffix(" (AccessDenied)") == words
        for read in (lambda: store.get(PATH), lambda: images.url(PATH, "GET")):
            with pytest.raises(ImageStoreUnavailable, match=words):
                read()
        assert time.monotonic() - started_s < 15


def test_a_bucket_that_is_not_there_takes_no_image(bucket_url: str) -> None:
    store = opened("s3://no-such-bucket/prefix")
    for write in (lambda: store.put(PATH, b"png"), store.check):
        with pytest.raises(OSError, match="the object store has no such bucket"):
            write()


def test_other_threads_go_on_while_one_waits_for_a_store(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The heartbeat is one of them."""
    monkeypatch.setattr(open_images, "REQUEST_S", 1.0)
    with hanging() as port, ThreadPoolExecutor(1) as threads:
        use_s3(monkeypatch, f"http://127.0.0.1:{port}")
        waiting = threads.submit(opened("s3://bucket").put, PATH, b"png")
        ticks = 0
        while wait([waiting], timeout=0.05).not_done:
            ticks += 1
        assert ticks > 5
        with pytest.raises(OSError, match="does not answer"):
            waiting.result()


def test_of_many_who_write_at_once_all_see_the_image_of_one(bucket_url: str) -> None:
    writers = 4
    store, start = opened(bucket_url), Barrier(writers)

    def write(writer: int) -> bytes:
        start.wait()
        return store.put(PATH, f"png of {writer}".encode())

    with ThreadPoolExecutor(writers) as threads:
        assert set(threads.map(write, range(writers))) == {store.get(PATH)}
