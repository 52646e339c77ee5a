"""The v-prediction objective and its weighting. Knows tensors and a schedule, no networks."""

import torch
from torch import Tensor


def stratified_timesteps(count: int, train_steps: int, generator: torch.Generator) -> Tensor:
    """[count] int64 in [0, train_steps): one from each of `count` equal parts, in random order.

    Less variance than independent draws (Kingma et al. 2021, app. I.1).
    """
    jitter = torch.rand(count, generator=generator)
    positions = (torch.randperm(count, generator=generator) + jitter) / count
    return (positions * train_steps).long().clamp(max=train_steps - 1)


def add_noise(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t for x0, noise: [B, 3, H, W] and alpha_bar: [B]."""
    alpha_bar = alpha_bar.view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def velocity(x0: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """v = alpha noise - sigma x0 (Salimans & Ho 2022, app. D)."""
    alpha_bar = alpha_bar.view(-1, 1, 1, 1)
    return alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0


def capped_snr_weight(alpha_bar: Tensor, gamma: float = 5.0) -> Tensor:
    """What an error of v counts at each noise level: min(SNR + 1, gamma) / (SNR + 1).

    Errors of the image then weigh SNR + 1 (Salimans & Ho 2022, sec. 4) up to a cap, in the manner
    of min-SNR (Hang et al. 2023). High noise, where the prompt decides colours and places, counts
    in full: min(SNR, gamma) / (SNR + 1) would all but leave it out.
    """
    snr = alpha_bar / (1 - alpha_bar)
    return (gamma / (snr + 1)).clamp(max=1)
