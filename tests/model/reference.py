"""diffusers' schedulers as a reference: drawn at random, and driven beside a Stage.

Both sides hear the same network and the same noise.
"""

from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.schedulers import scheduling_ddpm
from hypothesis import strategies as st
from torch import Tensor

from model.loading.scheduler_config import SchedulerConfig
from model.network import Network, Rows
from model.noise import noise
from model.plan import StageSettings
from model.stage import Stage, StageSpec
from model.trajectory import TextCondition

CLASSES = (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler)
NAME = "4"
SHAPE = (3, 4, 4)
TEXT = TextCondition(prompt=torch.full((2, 3), 0.4), negative=torch.full((2, 3), -0.3))


class PseudoNetwork(Network):
    """In the place of a U-Net: a smooth function of image, time and text. Counts its rows.

    spread: what it says of the variance: None nothing, "smooth" a function that now and then is
    beyond the bounds of -1 and 1, or one number everywhere.
    """

    def __init__(self, spread: float | str | None = None):
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.adapters = ()
        self.spread = spread
        self.rows: list[int] = []

    def __call__(self, rows: Rows) -> Tensor:
        self.rows.append(len(rows))
        time = rows.timesteps.view(-1, 1, 1, 1) / 300
        text = rows.text.mean(dim=(1, 2)).view(-1, 1, 1, 1)
        predicted = 1.3 * torch.sin(1.7 * rows.x + time + text)
        match self.spread:
            case None:
                return predicted
            case float():
                spread = torch.full_like(predicted, self.spread)
            case _:
                spread = 1.2 * torch.cos(2.3 * rows.x - time + text)
        return torch.cat([predicted, spread], dim=1)


class Reference:
    """A scheduler of diffusers on its way through one image.

    float64: its tables in float64, as ours are, where diffusers has them in float32; the formulas
    stay its own, and so does float32 for images.
    """

    def __init__(
        self,
        scheduler: Any,
        network: Network,
        settings: StageSettings,
        seed: int,
        *,
        float64: bool = True,
    ):
        self.scheduler, self.network, self.settings, self.seed = scheduler, network, settings, seed
        if float64:
            _widen(scheduler)
        scheduler.set_timesteps(settings.steps)
        if float64 and isinstance(scheduler, DPMSolverMultistepScheduler):
            _widen_sigmas(scheduler)
        self.timesteps: list[int] = scheduler.timesteps.tolist()

    def run(self) -> Tensor:
        """The whole image: [3, H, W]."""
        x = noise(self.seed, f"{NAME}/initial", SHAPE)
        for i in range(len(self.timesteps)):
            x = self.step(i, x)
        return x

    def step(self, i: int, x: Tensor) -> Tensor:
        """Step i. x: [3, H, W]; so is what comes back."""
        scheduler, timestep, x = self.scheduler, self.scheduler.timesteps[i], x[None]
        predicted = self._predict(x, timestep)
        fresh = noise(self.seed, f"{NAME}/step/{i}", SHAPE)[None]
        match scheduler:
            case DDPMScheduler():
                is_last = i == len(self.timesteps) - 1
                # The last is the mean alone here; theirs is noisy if its timestep is over 0.
                after = _ddpm_step(scheduler, predicted, timestep, x, fresh * (not is_last))
            case DDIMScheduler():
                # Clipped output: here too the noise is what x holds beside x0 as thresholded.
                after = scheduler.step(
                    predicted,
                    timestep,
                    x,
                    eta=self.settings.eta,
                    use_clipped_model_output=True,
                    variance_noise=fresh,
                ).prev_sample
            case _:
                after = scheduler.step(predicted, timestep, x, variance_noise=fresh).prev_sample
        assert isinstance(after, Tensor)
        assert after.dtype == torch.float32
        return after[0]

    def _predict(self, x: Tensor, timestep: Tensor) -> Tensor:
        """[1, 3, H, W], guided; where the variance is learned [1, 6, H, W]."""
        texts = [TEXT.prompt, TEXT.negative][: 1 if self.settings.guidance_scale == 1 else 2]
        rows = len(texts)
        output = self.network(
            Rows(x.expand(rows, -1, -1, -1), timestep.expand(rows), torch.stack(texts))
        )
        predicted, spread = output[:1, :3], output[:1, 3:]
        if rows == 2:
            negative = output[1:, :3]
            predicted = negative + self.settings.guidance_scale * (predicted - negative)
        is_learned = self.scheduler.config.get("variance_type") == "learned_range"
        return torch.cat([predicted, spread], dim=1) if is_learned else predicted


def _ddpm_step(
    scheduler: Any, predicted: Tensor, timestep: Tensor, x: Tensor, fresh: Tensor
) -> Tensor:
    """A step of DDPMScheduler, the one that takes no noise from outside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduling_ddpm, "randn_tensor", lambda *_, **__: fresh)
        after: Tensor = scheduler.step(predicted, timestep, x).prev_sample
    return after


def alpha_bar_of(config: Any) -> Tensor:
    """[T] float64, from the definitions (of the cosine: Nichol & Dhariwal 2021, eq. 17)."""
    steps = config.num_train_timesteps
    if config.beta_schedule == "squaredcos_cap_v2":
        f = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
        f[-1] = (1 - 0.999) * f[-2]  # the last beta is capped
        return torch.from_numpy(f[1:] / f[0])
    power = {"linear": 1, "scaled_linear": 2}[config.beta_schedule]
    ends = config.beta_start ** (1 / power), config.beta_end ** (1 / power)
    betas = np.linspace(*ends, steps) ** power
    return torch.from_numpy(np.exp(np.log1p(-betas).cumsum()))


def _widen(scheduler: Any) -> None:
    alpha_bar = alpha_bar_of(scheduler.config)
    scheduler.alphas_cumprod = alpha_bar
    match scheduler:
        case DDPMScheduler():
            scheduler.one = scheduler.one.double()
        case DDIMScheduler():
            ends_clean = scheduler.config.set_alpha_to_one
            scheduler.final_alpha_cumprod = (
                torch.ones_like(alpha_bar[0]) if ends_clean else alpha_bar[0]
            )
        case _:
            scheduler.lambda_t = 0.5 * (alpha_bar / (1 - alpha_bar)).log()


def _widen_sigmas(scheduler: Any) -> None:
    """set_timesteps rounds them to float32 whatever the table."""
    sigmas = (1 / scheduler.alphas_cumprod - 1).sqrt()
    ends_clean = scheduler.config.final_sigmas_type == "zero"
    last = torch.zeros_like(sigmas[:1]) if ends_clean else sigmas[:1]
    # Timesteps outside the table, which only diffusers takes, it clamps as well.
    scheduler.sigmas = torch.cat([sigmas[scheduler.timesteps.clamp(0, len(sigmas) - 1)], last])


def read(scheduler: Any) -> SchedulerConfig:
    """Theirs as we read it from the file that it writes."""
    return SchedulerConfig.model_validate_json(scheduler.to_json_string())


def stage_for(config: SchedulerConfig, settings: StageSettings, network: Network) -> Stage:
    """A base stage of SHAPE around the network."""
    return Stage(
        StageSpec(
            name=NAME,
            size_px=SHAPE[-1],
            multiple=1,
            schedule=config.schedule,
            prediction=config.prediction_type,
            defaults=settings,
            threshold=config.threshold,
            variance=config.variance,
        ),
        network,
    )


OF_ALL: dict[str, st.SearchStrategy[Any]] = {
    "num_train_timesteps": st.just(1000) | st.integers(64, 1000),
    "beta_schedule": st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
    "beta_start": st.sampled_from([1e-4, 8.5e-4]),
    "beta_end": st.sampled_from([0.012, 0.02]),
    "timestep_spacing": st.sampled_from(["leading", "linspace", "trailing"]),
    "steps_offset": st.integers(0, 2),
    "prediction_type": st.sampled_from(["epsilon", "sample", "v_prediction"]),
    "thresholding": st.booleans(),
    "dynamic_thresholding_ratio": st.floats(0.5, 1),
    "sample_max_value": st.floats(1, 4),
}
CLIPPED: dict[str, st.SearchStrategy[Any]] = {
    "clip_sample": st.booleans(),
    "clip_sample_range": st.floats(0.5, 2),
}
OF_EACH: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    DDPMScheduler: {
        **CLIPPED,
        "variance_type": st.sampled_from(["fixed_small", "fixed_large", "learned_range"]),
    },
    DDIMScheduler: {**CLIPPED, "set_alpha_to_one": st.booleans()},
    DPMSolverMultistepScheduler: {
        "algorithm_type": st.sampled_from(["dpmsolver++", "sde-dpmsolver++"]),
        "solver_order": st.sampled_from([1, 2]),
        "final_sigmas_type": st.sampled_from(["zero", "sigma_min"]),
        "lambda_min_clipped": st.sampled_from([-float("inf"), -5.1]) | st.floats(-7, -3),
    },
}


def schedulers(*classes: Any) -> st.SearchStrategy[Any]:
    """Schedulers of these classes, or of any, with all that can be set and is sampled here."""
    return st.sampled_from(classes or CLASSES).flatmap(
        lambda each: st.builds(each, **OF_ALL, **OF_EACH[each])
    )
