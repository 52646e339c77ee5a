"""What one step of any sampler does to an image."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Update:
    """x_next = x * x_t + x0 * x0_hat + previous_x0 * (x0_hat of the step before) + noise * z.

    z ~ N(0, I) is fresh noise. Where the network predicts a variance and widest_noise is given, the
    strength of the noise lies between the two, pixel by pixel.
    """

    x: float
    x0: float
    previous_x0: float = 0.0
    noise: float = 0.0
    widest_noise: float | None = None

    @property
    def is_noisy(self) -> bool:
        return self.noise > 0
