"""What happens to a prediction between the network and the sampler, row by row."""

from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor


class Prediction(StrEnum):
    """What a network was trained to predict; the names are diffusers'."""

    EPSILON = "epsilon"
    SAMPLE = "sample"
    V = "v_prediction"


def guide(conditional: Tensor, unconditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022, eq. 6, with w + 1 written as scale).

    conditional, unconditional: [B, C, H, W]; scale: [B, 1, 1, 1].
    """
    return unconditional + scale * (conditional - unconditional)


def predicted_x0(
    kind: Prediction, x: Tensor, prediction: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """The clean image that a prediction implies.

    x, prediction: [B, C, H, W]; alpha, sigma: [B, 1, 1, 1].
    """
    match kind:
        case Prediction.EPSILON:
            return (x - sigma * prediction) / alpha
        case Prediction.SAMPLE:
            return prediction
        case Prediction.V:
            return alpha * x - sigma * prediction


@dataclass(frozen=True)
class Threshold:
    """Keeps a predicted x0 within what an image can be.

    Without a ratio, x0 is clipped to [-cap, cap]. With one, dynamic thresholding (Saharia et al.
    2022, sec. 2.3): s is that quantile of |x0| in each image, at least 1 and at most `cap`; x0 is
    clipped to [-s, s] and divided by s.
    """

    cap: float = 1.0
    ratio: float | None = None

    def __call__(self, x0: Tensor) -> Tensor:
        """x0: [B, C, H, W]."""
        if self.ratio is None or self.cap <= 1:
            return x0.clamp(-self.cap, self.cap)
        magnitudes = x0.abs().flatten(1)
        s = torch.quantile(magnitudes, self.ratio, dim=1).clamp(1.0, self.cap).view(-1, 1, 1, 1)
        return x0.clamp(-s, s) / s
