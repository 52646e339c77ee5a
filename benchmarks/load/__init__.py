"""Load on a running service over HTTP: so many clients at once, or so many requests a second.

Needs neither torch nor weights, so that it can be aimed at any service.
"""

from benchmarks.load.command import main

__all__ = ["main"]
