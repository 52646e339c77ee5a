"""Where finished pictures lie, and whether clients are sent there for them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.settings import ApiSettings
from workers.jobs.image_store import ImageStore
from workers.jobs.open_images import open_image_store, open_signed_images

if TYPE_CHECKING:
    from workers.jobs.object_images import SignedImages


@dataclass(frozen=True)
class Pictures:
    """signed: None where the API itself sends them."""

    images: ImageStore
    signed: "SignedImages | None"


def open_pictures(settings: ApiSettings) -> Pictures:
    """Raises: InvalidImageStore."""
    images = open_image_store(settings)
    if settings.images_delivery == "stream":
        return Pictures(images, None)
    public = settings.images_public_url
    signed = open_signed_images(
        images,
        settings.images_url,
        None if public is None else str(public),
        settings.images_url_ttl_s,
    )
    return Pictures(images, signed)
