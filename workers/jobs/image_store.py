"""Where finished images lie: what every store promises. Knows neither PNG nor the queue.

folder_images.py and object_images.py keep the promises; open_images.py opens a store by its URL.
"""

import re
from typing import Protocol

IMAGE_PATH = re.compile(r"([0-9A-Za-z_-]{1,64})/([0-9]{1,9}\.png)")
"""No longer than every store can keep: a longer one would look like a store that is broken."""

CHECK_BYTES = 65_536
"""What a check of a store writes."""


def image_path(job_id: str, index: int) -> str:
    """Where an image lies within any store."""
    return f"{job_id}/{index}.png"


def split_path(path: str) -> tuple[str, str]:
    """The job's part of an image's path, and the image's own.

    Raises: ValueError.
    """
    match = IMAGE_PATH.fullmatch(path)
    if match is None:
        raise ValueError(f"not the path of an image: {path!r}")
    return match[1], match[2]


class ImageStore(Protocol):
    """Written once, then immutable. The methods block: call them from a thread."""

    def put(self, path: str, data: bytes) -> bytes:
        """Stores an image for good, and returns what is stored.

        Where another worker was first, its image stays and is returned: a worker may die
        before it can record its image, or write after it has lost the task.

        Raises: OSError, whose strerror may be told to clients; ValueError for another path.
        """
        ...

    def check(self) -> None:
        """Tries whether an image could be stored.

        Raises: OSError where it could not.
        """
        ...

    def get(self, path: str) -> bytes:
        """The image.

        Raises: ImageNotFound, ImageStoreUnavailable.
        """
        ...

    def remove(self, path: str) -> None:
        """Takes one image away; one that is not there is not missed.

        Raises: OSError, ValueError as put does.
        """
        ...

    def remove_job(self, job_id: str) -> None:
        """Takes away every image of a job, and what a killed worker has left of one.

        Raises: OSError, ValueError as put does.
        """
        ...
