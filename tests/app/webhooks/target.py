"""The server of a webhook's owner: keeps what it is told, and answers as the test says."""

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

Answer = bytes | Callable[[StreamReader, StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 204 No Content\r\n\r\n"
BROKEN = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"

PATIENCE_S = 30.0


async def silent(reader: StreamReader, _: StreamWriter) -> None:
    """Never answers; waits for the other side to give up."""
    assert await reader.read() == b""


@dataclass(frozen=True)
class Told:
    """One request; names of headers are in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes


class Target:
    """Gives its answers in order, the last one again and again."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = list(answers)
        self._told: asyncio.Queue[Told] = asyncio.Queue()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.count = 0

    def url(self, path: str = "/", *, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def next(self) -> Told:
        """What it is told next. Waits for it."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._told.get()

    async def all_closed(self) -> None:
        """Every connection has ended, and as the test expects."""
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self._connections)

    def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            self._told.put_nowait(await _read(reader))
            self.count += 1
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return  # the other side has gone
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    *answers: Answer, certificate: ssl.SSLContext | None = None
) -> AsyncGenerator[Target]:
    """A target on a port of its own; what is wrong in its connections fails the test."""
    target = Target(answers)
    server = await asyncio.start_server(target.connected, "127.0.0.1", 0, ssl=certificate)
    target.port = server.sockets[0].getsockname()[1]
    async with server:
        yield target
        await target.all_closed()


async def _read(reader: StreamReader) -> Told:
    line, *fields = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")[:-2]
    headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
    return Told(line, headers, await reader.readexactly(int(headers["content-length"])))
