"""The cheapest of all clients: sends the same bytes again and again, and reads what comes back.

An httpx client on one core asks 2,000 times a second, which is less than a bare API can answer:
it would measure itself.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import uvloop


def post(url: str, body: Mapping[str, Any]) -> bytes:
    """The request, as HTTP/1.1 writes it."""
    content = json.dumps(body).encode()
    headers = f"content-type: application/json\r\ncontent-length: {len(content)}\r\n"
    return _head("POST", url, headers) + content


def get(url: str) -> bytes:
    """The request, as HTTP/1.1 writes it."""
    return _head("GET", url)


def send(url: str, request: bytes, times: int, connections: int) -> bytes:
    """Over so many connections at once, each the next when the one before is answered.

    Returns the body of the last answer.
    Raises: RuntimeError for an answer that is no success, ConnectionError.
    """
    return uvloop.run(_send(url, request, times, connections))


def _head(method: str, url: str, headers: str = "") -> bytes:
    parts = urlsplit(url)
    return f"{method} {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n{headers}\r\n".encode()


async def _send(url: str, request: bytes, times: int, connections: int) -> bytes:
    left = iter(range(times))
    last = b""

    async def client() -> None:
        nonlocal last
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        with closing(writer):
            for _ in left:
                writer.write(request)
                last = await _answer(reader)

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client())
    return last


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, after = head.partition(b"content-length:")
    body = await reader.readexactly(int(after.partition(b"\r\n")[0]))
    if not head.startswith(b"http/1.1 2"):
        raise RuntimeError(f"{head.decode()}{body.decode()}")
    return body
