"""What can go wrong between a client and a service."""

from typing import NamedTuple

from workers.jobs.errors import ImagenError


class RefusedField(NamedTuple):
    """What is wrong with one field of a request, and what to do about it."""

    field: str
    problem: str
    remedy: str


class Unreachable(ImagenError):
    """Nothing answers at the URL, or nothing that is this service."""


class Refused(ImagenError):
    """The service's answer is a problem: see app/errors.py.

    status: of HTTP. problems: with 422, every field that was refused.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        remedy: str | None = None,
        problems: tuple[RefusedField, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.remedy = remedy
        self.problems = problems
