"""Options that commands share, and settings as a command has them."""

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from app.commands.outcome import WrongUsage

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from pydantic_settings import BaseSettings

    from app.client.service import Service

Settings = TypeVar("Settings", bound="BaseSettings")

LOCAL_URL = "http://127.0.0.1:8000"

Host = Annotated[
    str | None,
    typer.Option(metavar="HOST", help="Address to listen on (IMAGEN_HOST, else 127.0.0.1)."),
]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", help="Port to listen on (IMAGEN_PORT, else 8000).")
]
NoAuth = Annotated[
    bool, typer.Option("--no-auth", help="Serve everybody in reach, without keys (IMAGEN_AUTH).")
]
CascadeSource = Annotated[
    str | None,
    typer.Option(
        "--cascade",
        metavar="FOLDER|ID",
        help="Cascade's folder, its cascade.json, or a hub id (IMAGEN_CASCADE, else picture-book).",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu, cuda:1, or by part: cuda,text=cpu,text=int8 (IMAGEN_DEVICE).",
    ),
]
Url = Annotated[
    str,
    typer.Option(
        metavar="URL",
        envvar="IMAGEN_URL",
        help=f"The service's (else {LOCAL_URL}).",
        show_default=False,
    ),
]
Key = Annotated[
    str | None,
    typer.Option(metavar="KEY", envvar="IMAGEN_API_KEY", help="API key, where one is needed."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Tell programs: JSON on stdout.")]


def read_settings(kind: type[Settings], **options: object) -> Settings:
    """Settings from the environment; an option that was given, so is not None, goes first.

    Raises: WrongUsage that names the variables which cannot be used.
    """
    from pydantic import ValidationError

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        told = [_told(each, set(given)) for each in error.errors()]
        raise WrongUsage("; ".join(told)) from error


def _told(error: "ErrorDetails", options: set[str]) -> str:
    """The option or variable, unless it is about more than one, and what is wrong."""
    names = [str(name) for name in error["loc"][:1]]
    told = [f"--{name}" if name in options else f"IMAGEN_{name.upper()}" for name in names]
    return ": ".join([*told, error["msg"]])


def connect(url: str, key: str | None) -> "Service":
    """The service at a URL. Raises: WrongUsage where that is none, or the key can be none."""
    import httpx

    from app.client.service import Service

    if key is not None and re.fullmatch("[!-~]+", key) is None:
        raise WrongUsage("--key (IMAGEN_API_KEY) has characters that no key has")
    try:
        if httpx.URL(url).scheme in ("http", "https"):
            return Service(url, key)
    except httpx.InvalidURL:
        pass
    raise WrongUsage(f"--url {url} is no URL of a service: use one such as {LOCAL_URL}")


def auth_of(no_auth: bool) -> str | None:
    """What --no-auth says for the settings."""
    return "none" if no_auth else None
