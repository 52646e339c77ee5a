"""Server-sent events as an answer. Knows no events.

FastAPI's own streams log a bug for each client that hangs up while more is to be sent
(fastapi/fastapi#15725), and leave it to the garbage collector to end what they were made from.
"""

import asyncio
from collections.abc import AsyncGenerator

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT
from starlette.types import Receive, Scope, Send

from workers.jobs.background import cancel

PING_S = 15.0
"""So often a stream has something in it, for who is between us and the client."""

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """Sends events until they end or the client goes; then their generator is closed."""

    def __init__(self, events: AsyncGenerator[bytes]) -> None:
        """events: as `format_sse_event` makes them."""
        self._events = events
        self._coming: asyncio.Task[bytes | None] | None = None
        super().__init__(self._kept_alive(), headers=HEADERS, media_type=MEDIA_TYPE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:  # here, since within it each await is canceled once the client has gone
            if self._coming is not None:
                await cancel([self._coming])
            await self._events.aclose()

    async def _kept_alive(self) -> AsyncGenerator[bytes]:
        while True:
            self._coming = self._coming or asyncio.create_task(self._next())
            if not (await asyncio.wait([self._coming], timeout=PING_S))[0]:
                yield KEEPALIVE_COMMENT
                continue
            event, self._coming = self._coming.result(), None
            if event is None:
                return
            yield event

    async def _next(self) -> bytes | None:
        return await anext(self._events, None)
