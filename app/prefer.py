"""Reads `Prefer: wait=N` (RFC 7240). Preferences that are not understood are left alone."""

import re
from collections.abc import Iterable
from urllib.request import parse_http_list

WAIT = re.compile(r'wait\s*=\s*(?:([0-9]{1,9})|"([0-9]{1,9})")', re.IGNORECASE)


def wait_s(headers: Iterable[str], longest_s: int) -> int | None:
    """How long the client would wait for the end of a job, in whole seconds, bounded.

    headers: the values of all Prefer headers. None where none of them asks to wait.
    """
    for header in headers:
        for preference in parse_http_list(header):
            found = WAIT.fullmatch(preference.partition(";")[0].strip())
            if found:
                return min(int(found[1] or found[2]), longest_s)
    return None
