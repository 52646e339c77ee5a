"""What one step of any sampler does to an image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """x_next = x * x_t + x0 * x0_hat + previous_x0 * (x0_hat of the step before)."""

    x: float
    x0: float
    previous_x0: float = 0.0
