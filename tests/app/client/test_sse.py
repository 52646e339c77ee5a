"""Server-sent events, however the bytes are cut: against the examples of the specification."""

import pytest

from app.client.sse import ServerSentEvent, read_events

STREAM = (
    b": a comment\n\n"
    b"event: state\ndata: 1\nid: 5-0\n\n"
    b"data:two\ndata: lines\n\n"
    b"event: nothing without data\n\n"
    b"id: 6-0\nretry: 1000\nevent:end\ndata: \xe2\x98\x83\xe2\x80\xa8\x0b\n\n"
    b"data: cut off\n"
)
EVENTS = [
    ServerSentEvent("5-0", "state", "1"),
    ServerSentEvent("5-0", "message", "two\nlines"),
    ServerSentEvent("6-0", "end", "☃\u2028\x0b"),
]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_however_they_come(end: bytes, size: int) -> None:
    stream = STREAM.replace(b"\n", end)
    chunks = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert list(read_events(chunks)) == EVENTS


def test_an_event_is_told_when_its_last_byte_is_there() -> None:
    def chunks() -> object:
        yield b"data: 1\n\n"
        pytest.fail("one more chunk was asked for")

    assert next(read_events(chunks())).data == "1"  # type: ignore[arg-type]
