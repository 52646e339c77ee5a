"""What happens to a prediction between the network and the sampler, row by row."""

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


def dynamic_threshold(x0: Tensor, ratio: float, cap: float) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, sec. 2.3): x0 [B, C, H, W] into [-1, 1].

    s is the `ratio` quantile of |x0| in each row, at least 1 and at most `cap`; x0 is clipped to
    [-s, s] and divided by s.
    """
    if cap <= 1:
        return x0.clamp(-1, 1)
    s = torch.quantile(x0.abs().flatten(1), ratio, dim=1).clamp(1.0, cap).view(-1, 1, 1, 1)
    return x0.clamp(-s, s) / s
