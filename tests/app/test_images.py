"""GET /images/...: PNGs that never change, and nothing else."""

from pathlib import Path

import pytest
from httpx import AsyncClient

from app.settings import ApiSettings
from tests.app.conftest import PNG
from workers.jobs.folder_images import FolderImageStore

URL = "/images/job-1/0.png"


@pytest.fixture(autouse=True)
def _an_image(settings: ApiSettings) -> None:
    FolderImageStore(settings.images_dir).put("job-1/0.png", PNG)


async def test_an_image_may_be_kept_for_ever(client: AsyncClient) -> None:
    answer = await client.get(URL)
    assert answer.status_code == 200
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_an_image_that_the_client_has_is_not_sent_again(client: AsyncClient) -> None:
    etag = (await client.get(URL)).headers["etag"]
    for named in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await client.get(URL, headers={"if-none-match": named})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    changed = await client.get(URL, headers={"if-none-match": '"other"'})
    assert changed.content == PNG


async def test_the_head_of_an_image_tells_its_size(client: AsyncClient) -> None:
    answer = await client.head(URL)
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(PNG))


@pytest.mark.parametrize(
    "path",
    [
        "/images/job-1/1.png",
        "/images/job-2/0.png",
        "/images/job-1/x.png",
        "/images/job-1/" + "9" * 5000 + ".png",
        "/images/job-1/0.jpg",
        "/images/job-1",
        "/images/%2e%2e/0.png",
        "/images/..%2fjob-1/0.png",
        "/images/job-1%00/0.png",
        "/images/job-1/%2e%2e%2f0.png",
        "/images//0.png",
        "/images/link/0.png",
    ],
)
async def test_nothing_else_is_to_be_had(
    client: AsyncClient, settings: ApiSettings, tmp_path: Path, path: str
) -> None:
    (settings.data_dir / "0.png").write_bytes(b"secret")
    (tmp_path / "0.png").write_bytes(b"secret")
    (settings.images_dir / "link").symlink_to(tmp_path)
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(settings.data_dir) not in answer.text
