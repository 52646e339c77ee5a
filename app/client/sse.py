"""Server-sent events, from bytes as they come (WHATWG HTML, section 9.2.6)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """id: the latest that was told, for Last-Event-ID; None where there was none yet."""

    id: str | None
    name: str
    data: str


def read_events(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Events as soon as they are whole; one that is cut off by the end is none."""
    last_id: str | None = None
    name, data = "", list[str]()
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerSentEvent(last_id, name or "message", "\n".join(data))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                last_id = value
            case _:  # a comment, or a field of no meaning here
                pass


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Without their ends: LF, CR, or both. Bytes, since str.splitlines knows of others."""
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        # What ends with CR may be about to end with CR LF.
        rest = b"" if not lines or lines[-1].endswith(b"\n") else lines.pop()
        for line in lines:
            yield line.rstrip(b"\r\n").decode()
