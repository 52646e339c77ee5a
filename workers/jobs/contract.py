"""The version of the contract: of what API and workers tell each other through Redis.

Each job says by which version it was accepted, each card by which version it was shown. A process
leaves alone what it does not understand, so that old and new ones work on one queue side by side.

Any version may take over, cancel or end the jobs of any other. So what those transitions rely on,
the names of keys and of the fields in a job's hash, may be added to and not changed.
"""

CONTRACT = 1
"""What this version writes: one more with each change that the version before cannot read."""

OLDEST = 1
"""The oldest that this version still reads, and whose jobs it draws."""


def is_understood(contract: int) -> bool:
    """Whether this version can read what that one has written."""
    return OLDEST <= contract <= CONTRACT
