"""The denoising objective and its weighting. Knows tensors and a schedule, no networks."""

from enum import StrEnum

from torch import Tensor

from model.guidance import Prediction


class Weighting(StrEnum):
    """What an error of the image counts at a signal-to-noise ratio SNR.

    MIN_SNR: min(SNR, gamma) (Hang et al. 2023, eq. 8). CAPPED_SNR: min(SNR + 1, gamma), which is
    Salimans & Ho's SNR + 1 (2022, sec. 4) up to a cap: high noise, where the prompt decides colours
    and places, counts in full. TRUNCATED_SNR: max(SNR, 1), theirs for distillation. UNIFORM: every
    error of the network's own prediction alike.
    """

    MIN_SNR = "min_snr"
    CAPPED_SNR = "capped_snr"
    TRUNCATED_SNR = "truncated_snr"
    UNIFORM = "uniform"


def usual_weighting(prediction: Prediction) -> Weighting:
    """CAPPED_SNR, but where epsilon is predicted MIN_SNR; see error_weight."""
    return Weighting.MIN_SNR if prediction is Prediction.EPSILON else Weighting.CAPPED_SNR


def is_bounded(weighting: Weighting, prediction: Prediction) -> bool:
    """Whether the weight stays finite as all becomes noise, where epsilon says nothing of x0."""
    return prediction is not Prediction.EPSILON or weighting in (
        Weighting.MIN_SNR,
        Weighting.UNIFORM,
    )


def add_noise(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t for x0, noise: [B, 3, H, W] and alpha_bar: [B]."""
    alpha_bar = alpha_bar.view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def target(prediction: Prediction, x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network should predict at x_t; all [B, 3, H, W] but alpha_bar: [B].

    v = alpha noise - sigma x0 (Salimans & Ho 2022, app. D).
    """
    alpha_bar = alpha_bar.view(-1, 1, 1, 1)
    match prediction:
        case Prediction.EPSILON:
            return noise
        case Prediction.SAMPLE:
            return x0
        case Prediction.V:
            return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def error_weight(
    weighting: Weighting, prediction: Prediction, alpha_bar: Tensor, gamma: float = 5.0
) -> Tensor:
    """What a squared error of the prediction counts: [B], for alpha_bar: [B] in (0, 1).

    An error of epsilon is SNR times that of the image, an error of v is SNR + 1 times.
    """
    snr = alpha_bar / (1 - alpha_bar)
    match weighting:
        case Weighting.UNIFORM:
            return snr.new_ones(snr.shape)
        case Weighting.MIN_SNR:
            of_image = snr.clamp(max=gamma)
        case Weighting.CAPPED_SNR:
            of_image = (snr + 1).clamp(max=gamma)
        case Weighting.TRUNCATED_SNR:
            of_image = snr.clamp(min=1)
    match prediction:
        case Prediction.EPSILON:
            return of_image / snr
        case Prediction.SAMPLE:
            return of_image
        case Prediction.V:
            return of_image / (snr + 1)
