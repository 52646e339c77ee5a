"""A small server that answers as the hub does, with folders of this machine as repositories."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789" * 4


class HubServer(ThreadingHTTPServer):
    """repositories: folders by owner/name. gated: those whose files need a licence's acceptance.

    downloaded: the paths, within their repositories, of the files that it was asked for.
    """

    daemon_threads = True

    def __init__(self, repositories: Mapping[str, Path], gated: frozenset[str]):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.gated = gated
        self.downloaded: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(repositories: Mapping[str, Path], *gated: str) -> Iterator[HubServer]:
    with HubServer(repositories, frozenset(gated)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/api/models").strip("/")
        owner, name, *rest = [*path.split("/"), "", ""]
        repository = f"{owner}/{name}"
        folder = self.server.repositories.get(repository)
        match rest:
            case _ if folder is None:
                self._send(401, error="RepoNotFound")
            case ["revision", "main" | "v1.0", *_]:
                self._send(200, json.dumps({"id": repository, "sha": COMMIT}).encode())
            case ["revision", *_]:
                self._send(404, error="RevisionNotFound")
            case ["tree", *_]:
                self._send(
                    200, json.dumps([_entry(folder, file) for file in _files(folder)]).encode()
                )
            case ["resolve", *_] if repository in self.server.gated:
                self._send(403, error="GatedRepo")
            case ["resolve", _, *parts]:
                self._send_file(folder, "/".join(parts).strip("/"))

    def _send_file(self, folder: Path, file: str) -> None:
        if self.command == "GET":
            self.server.downloaded.add(file)
        content = (folder / file).read_bytes()
        self._send(200, content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT})

    def _send(
        self, status: int, body: bytes = b"", more: Mapping[str, str] = {}, error: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Length": str(len(body)),
            "X-Error-Code": error,
            **more,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _entry(folder: Path, file: Path) -> dict[str, object]:
    return {
        "type": "file",
        "path": file.relative_to(folder).as_posix(),
        "size": file.stat().st_size,
        "oid": _digest(file.read_bytes()),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
