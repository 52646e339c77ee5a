"""`imagen keys`: makes, lists and revokes API keys, with or without a service that runs."""

import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from app.commands.options import read_settings
from app.commands.outcome import WrongUsage, say

if TYPE_CHECKING:
    from workers.jobs.api_keys import ApiKey, ApiKeys
    from workers.jobs.settings import QueueSettings

Result = TypeVar("Result")

keys = typer.Typer(
    name="keys",
    help="""Make, list and revoke API keys, in the queue at IMAGEN_REDIS_URL or the private one.

    For example:
    $ KEY=$(imagen keys make me)
    """,
    no_args_is_help=True,
)


@keys.command()
def make(
    owner: Annotated[str, typer.Argument(metavar="OWNER", help="Whom it is for: ann, ci.nightly.")],
    priority: Annotated[
        Literal["low", "normal", "high"],
        typer.Option(help="The highest it may ask for (else normal).", show_default=False),
    ] = "normal",
) -> None:
    """Make a key and print it, this once.

    For example:
    $ KEY=$(imagen keys make me)
    $ imagen keys make ci.nightly --priority low
    """
    from workers.jobs.api_keys import OWNER
    from workers.jobs.job import Priority

    if re.fullmatch(OWNER, owner) is None:
        raise WrongUsage(
            "OWNER must be up to 64 of a-z, 0-9 and, but for the first, also _ . and -"
        )
    record, key = _with_keys(lambda api_keys: api_keys.make(owner, Priority(priority)))
    print(key)
    say(
        f"Key {record.id} is for {owner}. It is shown only now. From now on every request needs "
        "the header `authorization: Bearer KEY`, unless the service runs with --no-auth."
    )


@keys.command("list")
def list_keys() -> None:
    """List the keys there are: ids and owners, no secrets.

    For example:
    $ imagen keys list
    """
    from rich.table import Table

    from app.commands.tables import print_table

    records = _with_keys(_all)
    if not records:
        say("There is no key. `imagen keys make NAME` makes one.")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("ID", "OWNER", "PRIORITY", "MADE (UTC)"):
        table.add_column(column, no_wrap=column != "OWNER", overflow="fold")
    for record in records:
        made = datetime.fromtimestamp(record.created_at, UTC)
        table.add_row(record.id, record.owner, record.priority, f"{made:%Y-%m-%d %H:%M}")
    print_table(table)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `imagen keys list` shows it.")],
) -> None:
    """Revoke a key: from now on no request with it is served.

    For example:
    $ imagen keys revoke 1a2b3c4d
    """
    revoked, left = _with_keys(lambda api_keys: _revoke(api_keys, key_id))
    if not revoked:
        raise WrongUsage("ID: no key has this one; `imagen keys list` shows those there are")
    say(f"Key {key_id} is revoked.")
    if not left:
        say("No key is left: this machine is served without one now, and no other machine is.")


async def _all(api_keys: "ApiKeys") -> "tuple[ApiKey, ...]":
    return await api_keys.all()


async def _revoke(api_keys: "ApiKeys", key_id: str) -> tuple[bool, bool]:
    """Whether the key was there, and whether any is left."""
    return await api_keys.revoke(key_id), await api_keys.any()


def _with_keys(action: "Callable[[ApiKeys], Awaitable[Result]]") -> Result:
    """What the action makes of the keys of IMAGEN_REDIS_URL, else of the private queue."""
    import asyncio

    from app.processes.embedded_queue import private_queue
    from workers.jobs.settings import QueueSettings

    settings = read_settings(QueueSettings)
    if "redis_url" in settings.model_fields_set:
        return asyncio.run(_act(settings, action))
    with private_queue(settings.data_dir) as url:
        return asyncio.run(_act(settings.model_copy(update={"redis_url": url}), action))


async def _act(
    settings: "QueueSettings", action: "Callable[[ApiKeys], Awaitable[Result]]"
) -> Result:
    from workers.jobs.api_keys import ApiKeys
    from workers.jobs.connect import connect

    async with connect(settings) as redis:
        return await action(ApiKeys(redis))
