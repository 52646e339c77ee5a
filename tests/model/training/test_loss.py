"""The objective against diffusers' schedulers and the papers' formulas."""

import pytest
import torch
from diffusers import DDPMScheduler

from model.guidance import Prediction
from model.schedule import Schedule
from model.training.loss import Weighting, add_noise, error_weight, target

TIMESTEPS = torch.tensor([0, 1, 250, 600, 998])
SCHEDULES = ("squaredcos_cap_v2", "linear", "scaled_linear")


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_and_targets_are_those_of_diffusers(name: str) -> None:
    theirs = DDPMScheduler(beta_schedule=name)
    alpha_bar = Schedule(name).alpha_bar.float()[TIMESTEPS]
    x0, noise = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    noised = theirs.add_noise(x0, noise, TIMESTEPS)
    torch.testing.assert_close(add_noise(x0, noise, alpha_bar), noised, rtol=1e-4, atol=1e-5)
    velocity = theirs.get_velocity(x0, noise, TIMESTEPS)
    v = target(Prediction.V, x0, noise, alpha_bar)
    torch.testing.assert_close(v, velocity, rtol=1e-4, atol=1e-5)
    assert torch.equal(target(Prediction.EPSILON, x0, noise, alpha_bar), noise)
    assert torch.equal(target(Prediction.SAMPLE, x0, noise, alpha_bar), x0)


@pytest.mark.parametrize("prediction", Prediction)
def test_an_error_of_the_image_counts_the_same_whatever_is_predicted(
    prediction: Prediction,
) -> None:
    """The error of each prediction that one error of the image comes to, by its own definition."""
    alpha_bar = Schedule("squaredcos_cap_v2").alpha_bar[TIMESTEPS]
    x0, noise, wrong = torch.randn(3, 5, 1, 1, 1, dtype=torch.float64)
    x, rows = add_noise(x0, noise, alpha_bar), alpha_bar.view(-1, 1, 1, 1)
    implied_noise = (x - rows.sqrt() * (x0 + wrong)) / (1 - rows).sqrt()
    predicted = target(prediction, x0 + wrong, implied_noise, alpha_bar)
    error = (predicted - target(prediction, x0, noise, alpha_bar)).square().flatten()
    of_image, snr = wrong.square().flatten(), alpha_bar / (1 - alpha_bar)
    expected = {
        # Hang et al. 2023, eq. 8, and Salimans & Ho 2022, sec. 4, capped.
        Weighting.MIN_SNR: torch.minimum(snr, torch.tensor(5.0)) * of_image,
        Weighting.CAPPED_SNR: torch.minimum(snr + 1, torch.tensor(5.0)) * of_image,
        Weighting.UNIFORM: error,
    }
    for weighting, weighed in expected.items():
        weight = error_weight(weighting, prediction, alpha_bar, gamma=5.0)
        torch.testing.assert_close(weight * error, weighed, rtol=1e-6, atol=1e-9)


def test_min_snr_weights_are_the_papers() -> None:
    """Hang et al. 2023, sec. 3.4: min(SNR, g) / SNR for epsilon, min(SNR, g) / (SNR + 1) for v."""
    snr = torch.tensor([0.01, 1.0, 5.0, 20.0])
    alpha_bar = snr / (1 + snr)
    for prediction, expected in {
        Prediction.EPSILON: [1, 1, 1, 1 / 4],
        Prediction.SAMPLE: [0.01, 1, 5, 5],
        Prediction.V: [0.01 / 1.01, 1 / 2, 5 / 6, 5 / 21],
    }.items():
        weight = error_weight(Weighting.MIN_SNR, prediction, alpha_bar, gamma=5.0)
        torch.testing.assert_close(weight, torch.tensor(expected, dtype=torch.float32))
