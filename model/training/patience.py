"""Early stopping: whether the held-out error still falls. Knows nothing of what it is of."""

from typing import Any


class Patience:
    """Is out after so many errors in a row that are no better; None is never out."""

    def __init__(self, errors: int | None):
        self._errors = errors
        self.best = float("inf")
        self._since = 0

    @property
    def is_out(self) -> bool:
        return self._errors is not None and self._since >= self._errors

    def note(self, error: float) -> None:
        self._since = 0 if error < self.best else self._since + 1
        self.best = min(self.best, error)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self._since}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self._since = state["best"], state["since"]
