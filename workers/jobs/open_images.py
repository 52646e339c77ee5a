"""Opens the image store that the settings name. An object store needs the extra `s3`."""

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from workers.jobs.errors import InvalidImageStore
from workers.jobs.folder_images import FolderImageStore
from workers.jobs.image_store import ImageStore
from workers.jobs.settings import QueueSettings

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

    from workers.jobs.object_images import Bucket, SignedImages

CONNECT_S = 3.0
REQUEST_S = 15.0
RETRY_S = 10.0
"""No request is tried again that began so long ago: the longest is RETRY_S + REQUEST_S."""

S3 = ("s3://", "s3a://")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")

PLACES = "use file:///folder, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix"


def open_image_store(settings: QueueSettings) -> ImageStore:
    """Asks nothing of the store yet: one that is away may come back.

    Raises: InvalidImageStore.
    """
    url = settings.images_url
    if url is None:
        return FolderImageStore(settings.images_dir)
    parts = urlsplit(_without_secrets(url))
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise InvalidImageStore(
                "IMAGEN_IMAGES_URL: for a folder use three slashes: file:///folder"
            )
        return FolderImageStore(Path(unquote(parts.path)))
    bucket = _open_bucket(url)
    from workers.jobs.object_images import ObjectImageStore

    return ObjectImageStore(bucket)


def open_signed_images(
    images: ImageStore, url: str | None, public_url: str | None, ttl_s: int
) -> "SignedImages":
    """URLs into the store that was opened at `url`, valid for ttl_s.

    public_url: the endpoint that clients reach the store by, where it is not the same.
    Raises: InvalidImageStore.
    """
    if url is None or isinstance(images, FolderImageStore):
        raise InvalidImageStore(
            "IMAGEN_IMAGES_DELIVERY: redirect needs an object store: name one with "
            "IMAGEN_IMAGES_URL, or use stream"
        )
    from workers.jobs.object_images import ObjectImageStore, SignedImages

    assert isinstance(images, ObjectImageStore)
    if public_url is not None and not url.startswith(S3):
        raise InvalidImageStore("IMAGEN_IMAGES_PUBLIC_URL: is for s3:// alone: leave it out")
    if public_url is not None and os.environ.get("AWS_ENDPOINT_URL_S3"):
        raise InvalidImageStore(
            "IMAGEN_IMAGES_PUBLIC_URL: AWS_ENDPOINT_URL_S3 would go before it: set "
            "AWS_ENDPOINT_URL in its place"
        )
    signing = _open_bucket(url, None if public_url is None else public_url.rstrip("/"))
    try:
        return SignedImages(images, signing, ttl_s)
    except OSError as error:
        raise InvalidImageStore(
            "IMAGEN_IMAGES_DELIVERY: redirect finds no credentials to sign URLs with: set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or what your store has instead, or use "
            "stream"
        ) from error


def _without_secrets(url: str) -> str:
    """The URL, which is no place for keys. One that is refused is not told: it may have some.

    Raises: InvalidImageStore.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidImageStore(f"IMAGEN_IMAGES_URL: is no URL: {PLACES}") from error
    if not parts.scheme:
        raise InvalidImageStore(f"IMAGEN_IMAGES_URL: is no URL: {PLACES}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidImageStore(
            "IMAGEN_IMAGES_URL: has more in it than a bucket and a prefix: give keys, region and "
            "endpoint in variables such as AWS_ACCESS_KEY_ID, AWS_REGION and AWS_ENDPOINT_URL"
        )
    return url


def _open_bucket(url: str, endpoint: str | None = None) -> "Bucket":
    """endpoint: in place of the environment's."""
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store, from_url
    except ModuleNotFoundError as error:
        raise InvalidImageStore(
            "IMAGEN_IMAGES_URL: an object store needs `pip install 'imagen-server[s3]'`"
        ) from error
    # Whoever gives options to obstore has to give this one, too.
    allow_http = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    by_http = any(os.environ.get(each, "").startswith("http:") for each in ENDPOINTS)
    if url.startswith(S3) and by_http and not allow_http:
        raise InvalidImageStore(
            "AWS_ENDPOINT_URL: speaks http, without TLS: use https, or set AWS_ALLOW_HTTP=true"
        )
    client: ClientConfig = {
        "allow_http": allow_http,
        "connect_timeout": timedelta(seconds=CONNECT_S),
        "timeout": timedelta(seconds=REQUEST_S),
    }
    retry: RetryConfig = {
        "max_retries": 2,
        "retry_timeout": timedelta(seconds=RETRY_S),
        "backoff": {"max_backoff": timedelta(seconds=1)},
    }
    config: S3Config | None = None if endpoint is None else {"endpoint": endpoint}
    try:
        bucket = from_url(url, config=config, client_options=client, retry_config=retry)
    except (BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InvalidImageStore(
            f"IMAGEN_IMAGES_URL: cannot be opened ({reason.rstrip('.')}): {PLACES}; keys, region "
            "and endpoint come from the store's own variables, such as AWS_ACCESS_KEY_ID"
        ) from error
    if not isinstance(bucket, (S3Store, GCSStore, AzureStore)):
        raise InvalidImageStore(
            f"IMAGEN_IMAGES_URL: is no store that several processes can write: {PLACES}"
        )
    return bucket
