"""Which image store a URL names; one that cannot be is refused, and no secret is told."""

import sys
from pathlib import Path

import pytest

from tests.object_store import use_s3
from workers.jobs.errors import InvalidImageStore
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.object_images import ObjectImageStore
from workers.jobs.open_images import open_image_store, open_signed_images
from workers.jobs.settings import QueueSettings

ENDPOINT = "http://store.test:9000"


@pytest.fixture(autouse=True)
def _an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    use_s3(monkeypatch, ENDPOINT)


def test_a_folder_is_where_data_dir_or_the_url_says(tmp_path: Path) -> None:
    FolderImageStore(tmp_path / "images").put("job/0.png", b"by data_dir")
    FolderImageStore(tmp_path / "a b").put("job/0.png", b"by url")
    url = (tmp_path / "a b").as_uri()
    assert open_image_store(QueueSettings(data_dir=tmp_path)).get("job/0.png") == b"by data_dir"
    assert open_image_store(QueueSettings(images_url=url)).get("job/0.png") == b"by url"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/srv/pictures",
        "file://srv/pictures",
        "ftp://host/x",
        "s3://",
        "memory:///",
        "az://c",
        "http://host/x",
        "s3://[bucket",
        "s3://who:a-secret@bucket",
        "s3://bucket?key=a-secret",
    ],
)
def test_what_is_no_image_store_is_refused_with_its_name(url: str) -> None:
    with pytest.raises(InvalidImageStore, match=r"^IMAGEN_IMAGES_URL: .*(use|in variables)") as why:
        open_image_store(QueueSettings(images_url=url))
    assert "a-secret" not in str(why.value)


def test_an_object_store_says_what_it_needs_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("obstore", "obstore.exceptions", "obstore.store"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InvalidImageStore, match=r"pip install 'imagen-server\[s3\]'"):
        open_image_store(QueueSettings(images_url="s3://bucket"))


def test_http_has_to_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(InvalidImageStore, match="AWS_ALLOW_HTTP=true"):
        open_image_store(QueueSettings(images_url="s3://bucket"))
    assert open_image_store(QueueSettings(images_url="gs://bucket")), "whose endpoint it is not"


def test_a_public_endpoint_that_would_not_count_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    url, public = "s3://bucket", "https://pictures.example"
    images = open_image_store(QueueSettings(images_url=url))
    assert isinstance(images, ObjectImageStore)
    assert open_signed_images(images, url, None, 60).origin == ENDPOINT
    assert open_signed_images(images, url, public, 60).origin == public
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", ENDPOINT)
    with pytest.raises(InvalidImageStore, match="set AWS_ENDPOINT_URL in its place"):
        open_signed_images(images, url, public, 60)


def test_without_credentials_nothing_can_be_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    images = open_image_store(QueueSettings(images_url="s3://bucket"))
    with pytest.raises(InvalidImageStore, match=r"IMAGEN_IMAGES_DELIVERY.*no credentials"):
        open_signed_images(images, "s3://bucket", None, 60)
