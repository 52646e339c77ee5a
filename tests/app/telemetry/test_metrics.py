"""GET /metrics: what the API has counted, and what is in its queue just then."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from redis.asyncio import Redis

from app.main import create_app
from app.processes.embedded_queue import EmbeddedQueue
from app.routes import metrics as metrics_route
from app.settings import ApiSettings
from tests.app.conftest import CARD, PlayedWorker, client_of, show
from tests.app.listening import listening
from tests.app.webhooks.target import OK
from tests.app.webhooks.target import listening as target_of
from tests.scrape import not_zero, of_families, series
from workers.jobs.admission import Quotas
from workers.jobs.api_keys import ApiKeys
from workers.jobs.connect import connect

REQUESTS = "imagen_http_request_seconds_count"
WEBHOOKS = "imagen_webhook_deliveries_total"


async def scrape(client: AsyncClient, **headers: str) -> dict[str, dict[str, float]]:
    answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return series(answer.text)


async def test_requests_are_counted_by_their_route(client: AsyncClient) -> None:
    """Never by what a client may choose: its path, or a method of its own."""
    for method, path in (
        ("GET", "/livez"),
        ("GET", "/jobs/one"),
        ("GET", "/jobs/two"),
        ("PUT", "/jobs/two"),
        ("BREW", "/livez"),
        ("GET", "/no/such/path"),
        ("GET", "/images/one/0.png"),
    ):
        await client.request(method, path)
    found = await scrape(client)
    assert found[REQUESTS] == {
        "method=GET route=/livez status=200": 1,
        "method=GET route=/jobs/{job_id} status=404": 2,
        "method=PUT route=/jobs/{job_id} status=405": 1,
        "method=other route=/livez status=405": 1,
        "method=GET route=none status=404": 1,
        "method=GET route=/images/{job_id}/{index}.png status=404": 1,
    }
    assert found["imagen_http_requests_in_flight"] == {"": 1}  # the scrape itself
    assert "method=GET route=/metrics status=200" in (await scrape(client))[REQUESTS]


@pytest.mark.usefixtures("served")
async def test_the_time_of_a_request_is_until_its_answer_has_ended(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    body = {"prompt": "a cat", "n": 2}
    answer, _ = await asyncio.gather(
        client.post("/generate", json=body, headers={"prefer": "wait=60"}), worker.draw()
    )
    job = answer.json()
    took = (await scrape(client))["imagen_http_request_seconds_sum"]
    drawn_s = job["timings"][-1]["took_s"]
    assert took["method=POST route=/generate status=200"] > drawn_s > 0


async def test_a_bug_is_counted_as_one(settings: ApiSettings, redis: Redis) -> None:
    app = create_app(settings)

    @app.get("/broken")
    async def broken() -> None:
        raise ArithmeticError

    transport = ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://imagen.test") as client,
    ):
        assert (await client.get("/broken")).status_code == 500
        found = await scrape(client)
        assert found[REQUESTS] == {"method=GET route=/broken status=500": 1}
        assert found["imagen_http_bugs_total"] == {"": 1}


async def test_counters_of_failures_are_there_before_the_first(client: AsyncClient) -> None:
    """A series that begins with its first failure has no rate to be woken by."""
    found = await scrape(client)
    assert found["imagen_http_bugs_total"] == {"": 0}
    errors = ("no_card", "queue_unavailable", "invalid_request", "not_json", "body_too_large")
    reasons = (*Quotas.model_fields, *errors, "request_key_reused")
    refused = {f"reason={reason}": 0 for reason in reasons}
    assert found["imagen_jobs_refused_total"] == refused


async def test_jobs_are_counted_as_they_are_accepted_and_refused(
    settings: ApiSettings, redis: Redis
) -> None:
    tight = settings.model_copy(update={"owner_queued_images": 3})
    async with client_of(tight) as client:

        async def post(key: str, **body: Any) -> None:
            await client.post("/generate", json=body, headers={"idempotency-key": key})

        await post("1", prompt="no one is there")
        show(settings, CARD)
        await post("2", prompt="a cat")
        await post("2", prompt="a cat")  # the same
        await post("2", prompt="a dog")
        await post("3", prompt="a cat", priority="high")
        await post("4", prompt="a cat", steps=0)
        await post("5", prompt="a cat", n=2)
        await client.post("/generate", content="a cat")
        found = await scrape(client)
    assert not_zero(found["imagen_jobs_accepted_total"]) == {
        "priority=normal": 1,
        "priority=high": 1,
    }
    assert not_zero(found["imagen_jobs_refused_total"]) == {
        "reason=no_card": 1,
        "reason=invalid_request": 1,
        "reason=owner_queued": 1,
        "reason=request_key_reused": 1,
        "reason=not_json": 1,
    }


@pytest.mark.usefixtures("served")
async def test_jobs_of_clients_of_openai_count_too(client: AsyncClient) -> None:
    await client.post("/v1/images/generations", json={"prompt": "a cat", "n": 0})
    refused = (await scrape(client))["imagen_jobs_refused_total"]
    assert not_zero(refused) == {"reason=invalid_request": 1}


@pytest.mark.usefixtures("served")
async def test_the_queue_is_measured_when_someone_looks(
    client: AsyncClient, worker: PlayedWorker
) -> None:
    await client.post("/generate", json={"prompt": "a cat", "n": 3, "size": 128})
    await worker.begin()
    found = await scrape(client)
    assert found["imagen_queue_up"] == {"": 1}
    assert found["imagen_queue_images"] == {"": 3}
    assert found["imagen_queue_ready_tasks"] == {"stage=128": 0, "stage=32": 2, "stage=text": 0}
    assert not_zero(found["imagen_queue_held_tasks"]) == {"stage=128": 1}
    assert 0 < found["imagen_queue_lag_seconds"]["stage=32"] < 60
    assert not_zero(found["imagen_queue_workers"]) == {"stage=32": 1, "stage=text": 1}
    assert not_zero(found["imagen_queue_worker_rows"]) == {"stage=32": 64}


@pytest.mark.usefixtures("served")
async def test_the_same_is_told_as_openmetrics(client: AsyncClient) -> None:
    await client.post("/generate", json={"prompt": "a cat"})
    accept = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    answer = await client.get("/metrics", headers={"accept": f"{accept}, text/plain;q=0.5"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    found = of_families(families)
    assert found["imagen_queue_images"] == {"": 1}


@pytest.mark.usefixtures("served")
async def test_who_follows_a_job_is_counted(settings: ApiSettings) -> None:
    async with listening(settings) as url, AsyncClient(base_url=url, timeout=20) as client:
        job = (await client.post("/generate", json={"prompt": "a cat"})).json()
        async with client.stream("GET", job["urls"]["events"]) as events:
            lines = events.aiter_lines()
            assert await anext(lines)
            assert (await scrape(client))["imagen_event_followers"] == {"": 1}
            await client.post(job["urls"]["cancel"])
            assert [line async for line in lines]
        assert (await scrape(client))["imagen_event_followers"] == {"": 0}


@pytest.mark.usefixtures("served")
async def test_webhooks_are_counted_by_what_came_of_them(settings: ApiSettings) -> None:
    trusting = settings.model_copy(update={"webhooks_to_private": True})
    async with target_of(OK) as target, client_of(trusting) as client:
        body = {"prompt": "a cat", "webhook": target.url()}
        job = (await client.post("/generate", json=body)).json()
        await client.post(job["urls"]["cancel"])
        await target.next()
        async with asyncio.timeout(10):
            while not (counted := not_zero((await scrape(client))[WEBHOOKS])):
                await asyncio.sleep(0.005)  # until its answer has been read
    assert counted == {"outcome=delivered": 1}


async def test_without_a_queue_a_scrape_tells_so(tmp_path: Path) -> None:
    with EmbeddedQueue(tmp_path) as server:
        settings = ApiSettings(redis_url=server.url, data_dir=tmp_path, auth="none")
        async with client_of(settings) as client:
            assert (await scrape(client))["imagen_queue_up"] == {"": 1}
            server.stop()
            found = await scrape(client)
            assert found["imagen_queue_up"] == {"": 0}
            assert [name for name in found if name.startswith("imagen_queue")] == [
                "imagen_queue_up"
            ]


async def test_a_queue_that_is_silent_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_route, "PATIENCE_S", 0.05)

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await hung_up.wait()
        writer.close()

    hung_up = asyncio.Event()
    server = await asyncio.start_unix_server(say_nothing, tmp_path / "silent.sock")
    settings = ApiSettings(
        redis_url=f"unix://{tmp_path}/silent.sock", data_dir=tmp_path, auth="none"
    )
    needs_key = settings.model_copy(update={"auth": "required"})
    key = {"authorization": f"Bearer imagen_12345678_{'0' * 64}"}
    async with server, client_of(settings) as client, client_of(needs_key) as other:
        async with asyncio.timeout(5):
            assert (await scrape(client))["imagen_queue_up"] == {"": 0}
            assert (await other.get("/metrics", headers=key)).status_code == 503
        hung_up.set()


async def test_who_was_let_in_is_let_in_while_the_queue_is_away(tmp_path: Path) -> None:
    """And no one else: it is the queue that knows the keys."""
    with EmbeddedQueue(tmp_path) as server:
        settings = ApiSettings(redis_url=server.url, data_dir=tmp_path, auth="required")
        async with client_of(settings) as client, connect(settings) as redis:
            api_keys = ApiKeys(redis)
            made = [await api_keys.make(name) for name in ("me", "ann", "bob")]
            known, unused, revoked = [{"authorization": f"Bearer {key}"} for _, key in made]
            await scrape(client, **known)
            await scrape(client, **revoked)
            assert await api_keys.revoke(made[-1][0].id)
            assert (await client.get("/metrics", headers=revoked)).status_code == 401
            assert (await client.get("/metrics")).status_code == 401
            server.stop()
            assert (await scrape(client, **known))["imagen_queue_up"] == {"": 0}
            for other in (unused, revoked):
                assert (await client.get("/metrics", headers=other)).status_code == 503
            assert (await client.get("/metrics")).status_code == 401
