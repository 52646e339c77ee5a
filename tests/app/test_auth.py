"""Who is served, and as whom: by API key, or from this machine alone where there is none."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from httpx import ASGITransport, AsyncClient
from pydantic import HttpUrl
from redis.asyncio import Redis
from starlette.types import ASGIApp, Receive, Scope, Send

from app.auth import Caller, check_guarded
from app.dependencies import CallerNow
from app.main import create_app
from app.processes.address import Unguarded
from app.settings import ApiSettings
from tests.app.conftest import CARD, show
from workers.jobs import keys
from workers.jobs.api_keys import ApiKeys
from workers.jobs.job import Priority

LOOPBACK = ("127.0.0.1", 8000)
ELSEWHERE = ("192.0.2.7", 8000)

OPEN = {"/livez", "/readyz", "/images/{job_id}/{index}.png"}
"""What is served to everyone."""


@pytest.fixture
def auto(settings: ApiSettings, redis: Redis) -> ApiSettings:
    show(settings, CARD)
    return settings.model_copy(update={"auth": "auto"})


@pytest.fixture
def required(settings: ApiSettings, redis: Redis) -> ApiSettings:
    show(settings, CARD)
    return settings.model_copy(update={"auth": "required"})


@pytest.fixture
async def api_keys(redis: Redis) -> AsyncIterator[ApiKeys]:
    """Empty; a key that a test leaves goes with it."""
    yield ApiKeys(redis)
    await redis.delete(keys.api_keys())


class At:
    """An app that is reached at an address, as a server tells it."""

    def __init__(self, app: ASGIApp, server: tuple[str, int | None] | None) -> None:
        self._app = app
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app({**scope, "server": self._server}, receive, send)


@asynccontextmanager
async def client_at(
    settings: ApiSettings,
    server: tuple[str, int | None] | None = LOOPBACK,
    host: str = "localhost:8000",
) -> AsyncGenerator[AsyncClient]:
    """A client of an app that is reached at `server` and called `host`.

    The app has a route more, GET /caller, which tells who asks.
    """
    app = create_app(settings)

    @app.get("/caller")
    async def tell(caller: CallerNow) -> Caller:
        return caller

    async with (
        app.router.lifespan_context(app),
        AsyncClient(
            transport=ASGITransport(At(app, server)),
            base_url="http://imagen.test",
            headers={"host": host},
        ) as client,
    ):
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


async def test_everything_needs_a_key_but_health_and_pictures(required: ApiSettings) -> None:
    async with client_at(required) as client:
        for method, path, _ in operations(create_app(required).openapi()):
            answer = await client.request(method, path)
            assert (answer.status_code == 401) == (path not in OPEN), (method, path)
        for path in ("/", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code in (200, 307)


def test_the_document_says_what_needs_a_key(settings: ApiSettings) -> None:
    document = create_app(settings).openapi()
    scheme = document["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for method, path, operation in operations(document):
        assert ("security" in operation) == (path not in OPEN), (method, path)
        assert ("401" in operation["responses"]) == (path not in OPEN), (method, path)


async def test_a_key_says_who_asks(required: ApiSettings, api_keys: ApiKeys) -> None:
    _, ann = await api_keys.make("ann")
    _, bob = await api_keys.make("bob", Priority.HIGH)
    async with client_at(required, ELSEWHERE, "pictures.example") as client:
        for key, owner, priority in ((ann, "ann", "normal"), (bob, "bob", "high")):
            answer = await client.get("/caller", headers=bearer(key))
            assert answer.json() == {"owner": owner, "priority": priority}
        assert (await client.get("/model", headers=bearer(ann))).status_code == 200


async def test_without_a_key_the_remedy_is_told(required: ApiSettings) -> None:
    async with client_at(required) as client:
        answer = await client.get("/model")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["detail"] == "this needs an API key"
    assert "imagen keys make" in problem["remedy"]


async def test_a_wrong_key_is_told_the_same_whatever_is_wrong(
    required: ApiSettings, api_keys: ApiKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    record, key = await api_keys.make("ann")
    revoked, revoked_key = await api_keys.make("ann")
    await api_keys.revoke(revoked.id)
    secret = key.split("_")[2]
    async with client_at(required) as client:
        answers = [
            await client.get("/model", headers=bearer(wrong))
            for wrong in (
                f"imagen_{record.id}_{'0' * 64}",  # an id that there is
                f"imagen_00000000_{secret}",
                revoked_key,
                "sk-something",
                f"{key} {key}",
            )
        ]
    told = {(answer.status_code, answer.headers["www-authenticate"]) for answer in answers}
    assert told == {(401, "Bearer")}
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["detail"] == "the API key is not known here"
    assert secret not in caplog.text
    assert revoked_key not in caplog.text


@pytest.mark.parametrize("scheme", ["Basic {}", "{}", "Bearer", "Bearer ", "ApiKey {}"])
async def test_only_a_bearer_is_read(required: ApiSettings, api_keys: ApiKeys, scheme: str) -> None:
    _, key = await api_keys.make("ann")
    async with client_at(required) as client:
        sent = {"authorization": scheme.format(key), "x-api-key": key, "cookie": f"key={key}"}
        answer = await client.get("/model", headers=sent, params={"api_key": key, "key": key})
    assert answer.status_code == 401
    assert answer.json()["detail"] == "this needs an API key"


async def test_a_revoked_key_is_refused_at_the_next_request(
    required: ApiSettings, api_keys: ApiKeys
) -> None:
    record, key = await api_keys.make("ann")
    async with client_at(required) as client:
        assert (await client.get("/model", headers=bearer(key))).status_code == 200
        await api_keys.revoke(record.id)
        assert (await client.get("/model", headers=bearer(key))).status_code == 401


async def test_a_key_is_looked_at_before_the_body_and_the_workers(
    settings: ApiSettings, redis: Redis
) -> None:
    """Who may not ask learns nothing: neither of fields nor that no worker is there."""
    async with client_at(settings.model_copy(update={"auth": "required"})) as client:
        answer = await client.post("/generate", content=b"{", headers={"prefer": "wait=soon"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("server", "host"),
    [
        (LOOPBACK, "localhost"),
        (LOOPBACK, "LocalHost:8000"),
        (LOOPBACK, "127.0.0.1:8000"),
        (LOOPBACK, "127.8.9.10"),
        (LOOPBACK, "[::1]:8000"),
        (LOOPBACK, "pictures.example:443"),
        (("::1", 8000), "[::1]"),
        (("::ffff:127.0.0.1", 8000), "localhost"),
        (("127.8.9.10", 8000), "localhost"),
    ],
)
async def test_until_there_is_a_key_this_machine_is_served(
    auto: ApiSettings, server: tuple[str, int], host: str
) -> None:
    public = auto.model_copy(update={"public_url": HttpUrl("https://Pictures.example/api")})
    async with client_at(public, server, host) as client:
        answer = await client.get("/caller")
        assert answer.status_code == 200
        assert answer.json() == {"owner": "", "priority": "high"}
        # Some clients cannot do without a key.
        assert (await client.get("/caller", headers=bearer("unused"))).status_code == 200


@pytest.mark.parametrize(
    ("server", "host"),
    [
        (ELSEWHERE, "localhost"),
        (ELSEWHERE, "192.0.2.7:8000"),
        (("::", 8000), "[::1]"),
        (("0.0.0.0", 8000), "localhost"),
        (("2001:db8::7", 8000), "[::1]"),
        (("::ffff:192.0.2.7", 8000), "localhost"),
        (("/run/imagen.sock", None), "localhost"),
        (("localhost", 8000), "localhost"),
        (None, "localhost"),
        (LOOPBACK, "evil.example"),
        (LOOPBACK, "evil.example:8000"),
        (LOOPBACK, "localhost.evil.example"),
        (LOOPBACK, "127.0.0.1.evil.example"),
        (LOOPBACK, "evil.example:80@localhost"),
        (LOOPBACK, "evil.example#@localhost"),
        (LOOPBACK, "[::1].evil.example"),
        (LOOPBACK, "192.0.2.7"),
        (LOOPBACK, "::1"),
        (LOOPBACK, "[::1"),
        (LOOPBACK, "0.0.0.0"),
        (LOOPBACK, "2130706433"),
        (LOOPBACK, ""),
        (LOOPBACK, ":8000"),
        (LOOPBACK, "localhost:8000:8000"),
        (LOOPBACK, "localhost, evil.example"),
        (LOOPBACK, "none"),
    ],
)
async def test_no_other_machine_and_no_other_site_gets_in(
    auto: ApiSettings, server: tuple[str, int | None] | None, host: str
) -> None:
    async with client_at(auto, server, host) as client:
        answer = await client.get("/caller")
        assert answer.status_code == 401
        assert (await client.get("/caller", headers=bearer("unused"))).status_code == 401
        assert (await client.get("/livez")).status_code == 200


async def test_two_names_are_none(auto: ApiSettings) -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    async with client_at(auto) as client:
        del client.headers["host"]
        assert (await client.get("/caller", headers=headers)).status_code == 401
        assert (await client.get("/caller", headers=headers[:1])).status_code == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For"])
async def test_what_a_proxy_passes_on_is_not_from_here(auto: ApiSettings, header: str) -> None:
    async with client_at(auto) as client:
        assert (await client.get("/caller", headers={header: "127.0.0.1"})).status_code == 401


async def test_from_the_first_key_on_this_machine_needs_one_too(
    auto: ApiSettings, api_keys: ApiKeys
) -> None:
    async with client_at(auto) as client:
        assert (await client.get("/caller")).status_code == 200
        record, key = await api_keys.make("ann")
        assert (await client.get("/caller")).status_code == 401
        assert (await client.get("/caller", headers=bearer("unused"))).status_code == 401
        assert (await client.get("/caller", headers=bearer(key))).json()["owner"] == "ann"
        await api_keys.revoke(record.id)
        assert (await client.get("/caller")).json()["owner"] == ""


async def test_a_key_opens_from_everywhere(auto: ApiSettings, api_keys: ApiKeys) -> None:
    _, key = await api_keys.make("ann")
    async with client_at(auto, ELSEWHERE, "pictures.example") as client:
        assert (await client.get("/caller", headers=bearer(key))).status_code == 200


async def test_none_serves_everybody_as_nobody(settings: ApiSettings, api_keys: ApiKeys) -> None:
    _, key = await api_keys.make("ann")
    async with client_at(settings, ELSEWHERE, "evil.example") as client:
        for headers in ({}, bearer("unused"), bearer(key)):
            answer = await client.get("/caller", headers=headers)
            assert answer.json() == {"owner": "", "priority": "high"}


@pytest.mark.parametrize("auth", ["auto", "required"])
async def test_while_redis_is_away_nobody_is_let_in(tmp_path: Path, auth: str) -> None:
    settings = ApiSettings.model_validate({"redis_url": f"unix://{tmp_path}/no", "auth": auth})
    async with client_at(settings) as client:
        answer = await client.get("/caller", headers=bearer(f"imagen_{'0' * 8}_{'0' * 64}"))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]


async def test_a_real_server_tells_where_it_was_reached(auto: ApiSettings, tmp_path: Path) -> None:
    """Both listen in this process: what arrives through a unix socket may come from anywhere."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind(str(tmp_path / "api"))
        unix.listen()
        port = tcp.getsockname()[1]
        config = uvicorn.Config(create_app(auto), log_config=None, ws="none", lifespan="on")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[tcp, unix]))
        through_socket = httpx.AsyncHTTPTransport(uds=str(tmp_path / "api"))
        async with (
            AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as here,
            AsyncClient(base_url="http://localhost", transport=through_socket) as anywhere,
        ):
            assert (await here.get("/model")).status_code == 200
            assert (await here.get("/model", headers={"host": "evil.example"})).status_code == 401
            assert (await anywhere.get("/model")).status_code == 401
            assert (await anywhere.get("/livez")).status_code == 200
        server.should_exit = True
        await serving


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
async def test_other_machines_are_not_served_by_mistake(
    auto: ApiSettings, api_keys: ApiKeys, host: str
) -> None:
    reachable = auto.model_copy(update={"host": host})
    with pytest.raises(Unguarded, match=r"imagen keys make NAME.*--no-auth"):
        await check_guarded(reachable)
    for auth in ("required", "none"):
        await check_guarded(reachable.model_copy(update={"auth": auth}))
    await api_keys.make("ann")
    await check_guarded(reachable)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
async def test_on_loopback_no_key_is_asked_for(auto: ApiSettings, host: str) -> None:
    await check_guarded(auto.model_copy(update={"host": host}))


async def test_it_may_start_before_its_queue(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ApiSettings(redis_url=f"unix://{tmp_path}/no", host="0.0.0.0")
    await check_guarded(settings)
    assert "cannot see yet whether there is an API key" in caplog.text
    async with client_at(settings, ELSEWHERE) as client:
        assert (await client.get("/caller")).status_code == 401
