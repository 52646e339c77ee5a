"""One POST, by real HTTP: what is sent, to whom, and how little of the answer is taken."""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter

import httpx
import pytest
import trustme

from app.webhooks.post import post
from tests.app.webhooks.target import OK, Answer, Target, listening

LONG_S = 30.0


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


def trusting(authority: trustme.CA | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority is not None:
        authority.configure_trust(context)
    return context


def certificate(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def send(url: str, authority: trustme.CA | None = None, *, connect_s: float = LONG_S) -> int:
    """The status; the name of the URL is not looked up, since none here exists."""
    body, headers = b'{"a": 1}', {"X-Test": "1"}
    async with asyncio.timeout(LONG_S):
        return await post(
            httpx.URL(url), "127.0.0.1", body, headers, trusting(authority), connect_s
        )


async def test_the_body_goes_to_the_address_in_the_name_of_the_host() -> None:
    async with listening(OK) as target:
        assert await send(target.url("/hook?a=b%20c", host="hooks.test")) == 204
        told = await target.next()
    assert told.line == "POST /hook?a=b%20c HTTP/1.1"
    assert told.body == b'{"a": 1}'
    assert told.headers["host"] == f"hooks.test:{target.port}"
    assert told.headers["x-test"] == "1"
    assert told.headers["connection"] == "close"


async def test_proxies_and_passwords_of_the_environment_are_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with listening(OK) as target:
        assert await send(target.url(host="hooks.test")) == 204


async def test_a_redirect_is_an_answer_like_any_other() -> None:
    async with listening(OK) as elsewhere:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {elsewhere.url()}\r\nContent-Length: 0\r\n\r\n"
        async with listening(moved.encode()) as target:
            assert await send(target.url()) == 307
    assert elsewhere.count == 0


async def test_tls_is_checked_against_the_hosts_name(authority: trustme.CA) -> None:
    async with listening(OK, certificate=certificate(authority, "hooks.test")) as target:
        url = target.url(host="hooks.test", scheme="https")
        assert await send(url, authority) == 204
        assert (await target.next()).headers["host"] == f"hooks.test:{target.port}"
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="certificate is not valid for"):
                await send(target.url(host=host, scheme="https"), authority)
    assert target.count == 1


async def test_tls_of_an_address_is_checked_against_the_address(authority: trustme.CA) -> None:
    async with listening(OK, certificate=certificate(authority, "127.0.0.1")) as target:
        assert await send(target.url(scheme="https"), authority) == 204


async def test_a_certificate_that_no_authority_signed_is_refused(authority: trustme.CA) -> None:
    async with listening(OK, certificate=certificate(authority, "hooks.test")) as target:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await send(target.url(host="hooks.test", scheme="https"))
    assert target.count == 0


async def endless_body(_: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(bytes(65_536))
        await writer.drain()


async def body_that_never_comes(reader: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert await reader.read() == b""


@pytest.mark.parametrize("answer", [endless_body, body_that_never_comes])
async def test_the_body_of_an_answer_is_left_unread(answer: Answer) -> None:
    async with listening(answer) as target:
        assert await send(target.url()) == 200


async def endless_headers(_: StreamReader, writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-More: and more\r\n" * 1000)
        await writer.drain()


@pytest.mark.parametrize("answer", [endless_headers, b"", b"SSH-2.0-OpenSSH_9.9\r\n"])
async def test_what_is_no_answer_is_an_error(answer: Answer) -> None:
    async with listening(answer) as target:
        with pytest.raises(httpx.RemoteProtocolError):
            await send(target.url())


async def test_no_one_there_is_an_error() -> None:
    with socket.socket() as taken:  # a port that no one else gets, and where no one listens
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(httpx.ConnectError):
            await send(f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_a_handshake_that_never_ends_leaves_no_connection_behind() -> None:
    class Mute(Target):
        async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
            assert await reader.read()  # the other side's part of the handshake, then its end
            writer.close()

    mute = Mute((OK,))
    server = await asyncio.start_server(mute.connected, "127.0.0.1", 0)
    async with server:
        url = f"https://hooks.test:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(httpx.ConnectTimeout):
            await send(url, connect_s=0.05)
        await mute.all_closed()
