"""What the command line of a load can say."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WHAT = "Put load on a service over HTTP, and say how long each phase of a request takes."

EXAMPLES = """examples:
  %(prog)s
      a service of its own, 16 clients, a minute
  %(prog)s --url http://gpu:8000 --clients 1000
      a thousand who ask again as soon as they have their pictures
  %(prog)s --url http://gpu:8000 --rate 5 --mix
      five requests a second, whatever becomes of those before
  %(prog)s --body '{"prompt": "a cat", "n": 4}' --ends events

exit status:
  0 where every request brought its pictures, or was refused with 429, the
  service's own word for "enough"; 1 where one failed otherwise; 2 for wrong
  usage; 130 after Ctrl-C"""


def read_options(arguments: Sequence[str], prog: str) -> argparse.Namespace:
    """Raises: SystemExit, with 2 for wrong usage."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=WHAT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--url", help="of the service (default: one that is started for it)")
    parser.add_argument("--key", help="API key (default: IMAGEN_API_KEY)")
    _add_when(parser)
    _add_what(parser)
    _add_ends(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    if options.json is not None and not options.json.absolute().parent.is_dir():
        parser.error(f"argument --json: make the folder {options.json.parent} first")
    return options


def _add_when(parser: argparse.ArgumentParser) -> None:
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--clients",
        type=_count,
        default=16,
        metavar="N",
        help="who each ask again when their job has ended (default: 16)",
    )
    how.add_argument(
        "--rate",
        type=_positive,
        metavar="R",
        help="requests a second that come at random, whatever becomes of those before",
    )
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument("--requests", type=_count, metavar="N", help="how many in all")
    how_long.add_argument(
        "--seconds",
        type=_positive,
        default=60.0,
        metavar="S",
        help="for how long requests are sent (default: 60)",
    )


def _add_what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--body",
        type=_body,
        default={},
        metavar="JSON",
        help="the request, or some of its fields (default: a red apple)",
    )
    parser.add_argument(
        "--mix",
        action="store_true",
        help="prompts, sizes, steps, guidance and n differ, where --body does not say them",
    )


def _add_ends(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ends",
        choices=("wait", "poll", "events"),
        default="wait",
        help="how the end of a job is learnt: by `Prefer: wait` (the default), by looking again "
        "and again, or by server-sent events",
    )
    parser.add_argument(
        "--poll-s", type=_positive, default=1.0, metavar="S", help="between looks (default: 1)"
    )
    parser.add_argument(
        "--give-up-s",
        type=_positive,
        default=600.0,
        metavar="S",
        help="a request whose job has not ended by then counts as an error (default: 600)",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _body(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise argparse.ArgumentTypeError("is no JSON object")
    return body
