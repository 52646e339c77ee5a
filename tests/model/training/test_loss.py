"""The objective against its closed forms."""

import torch

from model.training.loss import add_noise, capped_snr_weight, stratified_timesteps, velocity


def test_each_part_of_time_is_drawn_once() -> None:
    drawn = stratified_timesteps(20, 1000, torch.Generator().manual_seed(0))
    assert sorted(int(t) // 50 for t in drawn) == list(range(20))


def test_image_and_noise_come_back_from_x_and_v() -> None:
    x0, noise = torch.randn(2, 3, 3, 4, 4)
    alpha_bar = torch.tensor([0.9, 0.5, 0.01])
    x, v = add_noise(x0, noise, alpha_bar), velocity(x0, noise, alpha_bar)
    alpha, sigma = alpha_bar.sqrt().view(-1, 1, 1, 1), (1 - alpha_bar).sqrt().view(-1, 1, 1, 1)
    torch.testing.assert_close(alpha * x - sigma * v, x0)
    torch.testing.assert_close(sigma * x + alpha * v, noise)


def test_the_weight_of_v_is_the_capped_weight_of_the_image() -> None:
    """An error in v is one in x0 of 1 / sigma^2 = SNR + 1 times its size."""
    alpha_bar = torch.tensor([0.99, 0.9, 0.5, 0.1, 0.0])
    snr = alpha_bar / (1 - alpha_bar)
    torch.testing.assert_close(
        capped_snr_weight(alpha_bar), (snr + 1).clamp(max=5) * (1 - alpha_bar)
    )
