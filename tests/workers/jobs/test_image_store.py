"""What every image store promises, of each kind that there is."""

from pathlib import Path

import pytest

from workers.jobs.errors import ImageNotFound
from workers.jobs.image_store import ImageStore, image_path
from workers.jobs.open_images import open_image_store
from workers.jobs.settings import QueueSettings

PATH = image_path("0123abcd", 0)


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ImageStore:
    if request.param == "folder":
        url = (tmp_path / "a folder").as_uri()
    else:
        url = request.getfixturevalue("bucket_url")
    return open_image_store(QueueSettings(images_url=url))


def test_an_image_comes_back_as_it_was_put(store: ImageStore) -> None:
    assert store.put(PATH, b"png") == b"png"
    assert store.get(PATH) == b"png"


def test_the_first_image_stays(store: ImageStore) -> None:
    store.put(PATH, b"first")
    assert store.put(PATH, b"second") == b"first"
    assert store.get(PATH) == b"first"


def test_a_missing_image_is_not_found(store: ImageStore) -> None:
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
def test_a_path_that_names_no_image_is_refused(store: ImageStore, path: str) -> None:
    with pytest.raises(ImageNotFound):
        store.get(path)
    with pytest.raises(ValueError, match="path of an image"):
        store.put(path, b"png")
    with pytest.raises(ValueError, match="path of an image"):
        store.remove(path)


def test_a_check_of_what_can_be_written_says_nothing(store: ImageStore) -> None:
    store.check()


def test_a_removed_image_is_gone_and_can_be_put_again(store: ImageStore) -> None:
    store.put(PATH, b"png")
    store.remove(PATH)
    with pytest.raises(ImageNotFound):
        store.get(PATH)
    assert store.put(PATH, b"another") == b"another"


def test_removing_what_is_not_there_is_no_error(store: ImageStore) -> None:
    store.remove(PATH)
    store.remove_job("0123abcd")
    store.put(PATH, b"png")
    store.remove(image_path("0123abcd", 1))
    store.remove_job("another")
    assert store.get(PATH) == b"png"


def test_a_removed_job_takes_its_images_along_and_no_others(store: ImageStore) -> None:
    others = image_path("0123abcde", 0), image_path("another", 0)
    for path in (PATH, image_path("0123abcd", 1), *others):
        store.put(path, b"png")
    store.remove_job("0123abcd")
    for index in (0, 1):
        with pytest.raises(ImageNotFound):
            store.get(image_path("0123abcd", index))
    assert [store.get(path) for path in others] == [b"png", b"png"]


@pytest.mark.parametrize("job_id", ["..", "", "a/b", ".", "job\0"])
def test_a_job_that_names_no_folder_is_refused(store: ImageStore, job_id: str) -> None:
    with pytest.raises(ValueError, match="path of an image"):
        store.remove_job(job_id)
