"""Who a request is from: the owner of an API key, or anyone where that is allowed.

Knows no routes: what each of them serves to whom is theirs to say.
"""

import logging
from dataclasses import dataclass

from starlette.requests import Request

from app.errors import NoApiKey, WrongApiKey
from app.loopback import is_from_here, listens_on_loopback
from app.processes.address import Unguarded
from app.settings import ApiSettings
from workers.jobs.api_keys import ApiKeys
from workers.jobs.connect import connect
from workers.jobs.errors import QueueUnavailable
from workers.jobs.job import Priority

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks."""

    owner: str
    """Empty where nobody needs a key."""
    priority: Priority
    """The highest that may be asked for."""


ANYONE = Caller(owner="", priority=Priority.HIGH)


async def identify(
    request: Request, key: str | None, settings: ApiSettings, api_keys: ApiKeys
) -> Caller:
    """Who sends this request, with this key. What `settings.auth` means is decided here.

    Where nobody needs a key, a wrong one does no harm: some clients cannot send none.

    Raises: NoApiKey, WrongApiKey, QueueUnavailable.
    """
    if settings.auth == "none":
        return ANYONE
    known = None if key is None else await api_keys.find(key)
    if known is not None:
        return Caller(known.owner, known.priority)
    public_host = None if settings.public_url is None else settings.public_url.host
    if settings.auth == "auto" and is_from_here(request, public_host) and not await api_keys.any():
        return ANYONE
    raise NoApiKey if key is None else WrongApiKey


async def needs_key(settings: ApiSettings) -> bool:
    """Whether a request from this machine needs a key as things stand.

    Raises: QueueUnavailable.
    """
    if settings.auth != "auto":
        return settings.auth == "required"
    async with connect(settings) as redis:
        return await ApiKeys(redis).any()


async def check_guarded(settings: ApiSettings) -> None:
    """Before the service starts: that not everybody in reach is served by mistake.

    It may start before its queue, whose keys cannot be seen then; until there is one, other
    machines are refused request by request.

    Raises: Unguarded, or OSError where the host is unknown.
    """
    if settings.auth != "auto" or listens_on_loopback(settings.host):
        return
    try:
        guarded = await needs_key(settings)
    except QueueUnavailable as error:
        log.warning("cannot see yet whether there is an API key: %s", error)
        return
    if not guarded:
        raise Unguarded(
            f"other machines can reach {settings.host}, and there is no API key yet: make one "
            "with `imagen keys make NAME`, or serve everybody with --no-auth (IMAGEN_AUTH=none)"
        )
