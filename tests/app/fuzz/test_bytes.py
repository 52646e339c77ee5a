"""Bytes that no client library would send: the service says what is wrong, and goes on."""

import http.client
import json
import socket
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.openai.request import FIELDS as OPENAI_FIELDS
from app.orders.body import MAX_BODY_BYTES
from app.orders.request import GenerateRequest
from app.settings import ApiSettings
from tests.app.fuzz.conftest import Start
from tests.app.fuzz.plan import EXAMPLES
from tests.app.fuzz.service import Service

# Some bodies are long on purpose.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Generating overly large repr:hypothesis.errors.HypothesisWarning"
)

TIMEOUT_S = 10.0

JSON = (b"content-type", b"application/json")
BODY = b'{"prompt": "a cat"}'

same_each_time = settings(max_examples=8 * EXAMPLES, derandomize=True, database=None, deadline=None)

numbers = (
    st.from_regex(rb"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
    | st.sampled_from([b"-0", b"1e-400", b"1e400", b"NaN", b"Infinity", b"-Infinity", b"01", b"+1"])
    | st.integers(4200, 4400).map(lambda digits: b"9" * digits)
)
"""Among them what is no JSON, and what Python reads though it is none."""

whole = st.sampled_from((b"cat", b" ", b"\\n", b"ddim", b"]", "\u00fc".encode(), "\u202e".encode()))
halves = st.sampled_from([b"\\ud800", b"\\udc00", b"\\u0000"])
"""Of pairs of surrogates, and what ends a string in C."""
broken = st.sampled_from([b"\\", b"\xff", b"\x00", b"\x1f", b'"'])
sound_texts, texts = (
    st.lists(parts, max_size=5).map(lambda parts: b'"' + b"".join(parts) + b'"')
    for parts in (whole | halves, whole | halves | broken)
)

nests = st.builds(
    lambda depth, opening, closing: depth * opening + depth * closing,
    st.sampled_from([1, 2, 900, 4_000]),
    st.sampled_from([b"[", b'{"a":']),
    st.sampled_from([b"]", b"}", b""]),
)

fields = st.sampled_from([b'"%s"' % name.encode() for name in GenerateRequest.model_fields])
text_fields = st.sampled_from([b'"negative_prompt"', b'"sampler"', b'"webhook"'])

values = st.recursive(
    numbers | texts | nests | st.sampled_from([b"null", b"true", b"{}", b"[]"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: b"[" + b",".join(items) + b"]"),
    max_leaves=3,
)

one_odd = st.tuples(text_fields, sound_texts) | st.tuples(fields, values)
many_odd = st.lists(st.tuples(fields | texts, values), max_size=5)
"""Names may come twice."""

objects = st.builds(
    lambda pairs: b"{" + b",".join(map(b":".join, pairs)) + b"}",
    one_odd.map(lambda pair: [(b'"prompt"', b'"a cat"'), pair]) | many_odd,
)

bodies = objects | values | st.binary(max_size=200)

openai_s = st.sampled_from([b'"%s"' % name.encode() for name in OPENAI_FIELDS]) | texts
sizes = st.sampled_from(
    [b'"auto"', b'"32x32"', b'"00160x96"', b'"0x0"', b'"99999x1"', b'"32x32\\n"']
)
openai_objects = st.lists(st.tuples(openai_s, values | sizes), max_size=2).map(
    lambda pairs: b"{" + b",".join(map(b":".join, [(b'"prompt"', b'"a cat"'), *pairs])) + b"}"
)

header_names = st.sampled_from(
    b"prefer idempotency-key if-none-match authorization content-type content-encoding accept host "
    b"forwarded x-forwarded-for origin cookie expect user-agent".split()
)
CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})
"""What no header may have in it: with one, it is not HTTP any more."""

header_values = st.binary(max_size=40).map(
    lambda value: value.translate(None, CONTROLS)
) | st.sampled_from(
    (b"wait=1", b' WAIT = "1"', b'wait="', b"wait=" + 5000 * b"9", b"Bearer \xff", b"Basic Og==")
)


class Answer(NamedTuple):
    status: int
    content_type: str | None
    content: bytes

    def problem(self) -> Any:
        """What a problem says; None where there is no problem."""
        if self.status < 400:
            return None
        assert self.content_type == "application/problem+json"
        return json.loads(self.content)


def send(service: Service, content: bytes, *, ends: bool = False) -> Answer | None:
    """The answer to these bytes; None where the connection is closed without one.

    ends: nothing will come after them, and the service is told so.
    """
    with socket.create_connection((service.host, service.port), TIMEOUT_S) as connection:
        connection.sendall(content)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        try:
            answer.begin()
            return Answer(answer.status, answer.getheader("content-type"), answer.read())
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None
        finally:
            answer.close()


def ask(
    service: Service,
    target: bytes,
    body: bytes | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (JSON,),
) -> Answer:
    """The answer to a whole request: a GET, or a POST where there is a body."""
    fields = [(b"host", b"imagen.test"), (b"connection", b"close"), *headers]
    if body is not None:
        fields.append((b"content-length", b"%d" % len(body)))
    lines = [(b"GET " if body is None else b"POST ") + target + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in fields]
    answer = send(service, b"\r\n".join(lines) + b"\r\n\r\n" + (body or b""))
    assert answer is not None
    return answer


@pytest.fixture
def service(start: Start, open_settings: ApiSettings) -> Iterable[Service]:
    with start(open_settings) as service:
        yield service
        alive = ask(service, b"/readyz")
        assert alive.status == 200


def try_all(strategy: st.SearchStrategy[Any], attempt: Callable[[Any], None]) -> None:
    """Calls `attempt` with some hundred examples."""
    same_each_time(given(strategy)(attempt))()


def test_any_body(service: Service) -> None:
    seen = set()

    def attempt(body: bytes) -> None:
        answer = ask(service, b"/generate", body)
        seen.add(answer.status)
        assert answer.status in ((202, 422) if len(body) <= MAX_BODY_BYTES else (413,))
        if answer.status == 422:
            assert all(error["problem"] and error["remedy"] for error in answer.problem()["errors"])

    try_all(bodies, attempt)
    assert seen >= {202, 422}


def test_any_body_of_openai_s_clients(service: Service) -> None:
    seen = set()

    def attempt(body: bytes) -> None:
        answer = ask(service, b"/v1/images/generations", body)
        seen.add(answer.status)
        assert answer.status in ((200, 400, 404, 504) if len(body) <= MAX_BODY_BYTES else (413,))
        if answer.status != 200:
            assert answer.content_type == "application/json"
            error = json.loads(answer.content)["error"]
            assert error["message"]
            assert error["type"]

    try_all(openai_objects | bodies, attempt)
    assert seen >= {200, 400}


def test_any_headers(service: Service) -> None:
    """A name may come more than once."""
    seen = set()

    def attempt(headers: list[tuple[bytes, bytes]]) -> None:
        answer = ask(service, b"/generate", BODY, [*headers, JSON])
        seen.add(answer.status)
        assert answer.status in (200, 202, 415, 422)
        answer.problem()

    try_all(st.lists(st.tuples(header_names, header_values), max_size=4), attempt)
    assert seen >= {202, 415, 422}


def test_any_path(service: Service) -> None:
    def attempt(target: bytes) -> None:
        answer = ask(service, target)
        assert answer.status in (200, 404, 405, 422)
        answer.problem()

    known = st.sampled_from([b"jobs", b"cancel", b"0.png", b"model", b"..", b"%2e%2e"])
    parts = known | st.binary(min_size=1, max_size=9).map(
        lambda part: quote(part, safe="").encode()
    )
    paths = st.lists(parts, min_size=1, max_size=5).map(b"/".join)
    prefixes = st.sampled_from([b"/", b"/jobs/", b"/images/"])
    ends = st.sampled_from(
        [b"", b"/", b"/cancel", b"/events", b"/0.png", b".png", b"?", b"?a=%ff&a", b"?prompt=%ff"]
    )
    try_all(st.builds(lambda *pieces: b"".join(pieces), prefixes, paths, ends), attempt)


def test_no_http_at_all(service: Service) -> None:
    def attempt(content: bytes) -> None:
        answer = send(service, content, ends=True)
        assert answer is None or answer.status in (200, 202, 307, 400, 404, 405, 415, 422)

    request = b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    pieces = st.sampled_from(
        (b"transfer-encoding: chunked\r\n", b"content-length: 19\r\n", b"content-length: -1\r\n")
    )
    ends = st.sampled_from((b"\r\n", b"13\r\n", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", BODY))
    try_all(
        st.lists(st.just(request) | pieces | ends | st.binary(max_size=20), max_size=8).map(
            b"".join
        ),
        attempt,
    )


def test_a_body_that_grows_too_large_is_not_read_to_its_end(service: Service) -> None:
    chunk = b"8000\r\n" + 0x8000 * b" " + b"\r\n"
    head = b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    enough = 1 + MAX_BODY_BYTES // 0x8000
    answer = send(service, head + b"transfer-encoding: chunked\r\n\r\n" + enough * chunk)
    assert answer is not None
    assert (answer.status, answer.problem()["detail"]) == (413, "the body is too large")


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"content-length: 40", BODY),
        (b"transfer-encoding: chunked", b"13\r\n" + BODY),
        (b"transfer-encoding: chunked", b"28\r\n" + BODY),
    ],
)
def test_a_body_that_ends_early_is_no_job(service: Service, header: bytes, body: bytes) -> None:
    head = b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    assert send(service, head + header + b"\r\n\r\n" + body, ends=True) is None
