"""A stage's U-Net as sampling calls it: rows in, predictions out, whatever speed takes inside.

Knows nothing of noise levels or guidance.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from model.adapters import AdaptedUNet, Adapter
from model.cpu import tune_for_cpu


@dataclass(frozen=True)
class Rows:
    """What one forward takes; R rows, each with a timestep and a text of its own.

    x: [R, 3, H, W]; timesteps: [R] int64; text: [R, tokens, width]. At a super-resolution stage
    low_res: [R, 3, H, W] and noise_levels: [R] int64, else None. adapter_scales: [R, adapters]
    float32, in the order of Network.adapters; None where no row has any.
    """

    x: Tensor
    timesteps: Tensor
    text: Tensor
    low_res: Tensor | None = None
    noise_levels: Tensor | None = None
    adapter_scales: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, part: slice) -> "Rows":
        return self._each(lambda tensor: tensor[part])

    def padded(self, rows: int) -> "Rows":
        """Copies of the last row put behind, up to `rows`."""
        return self if len(self) == rows else self._each(lambda tensor: _padded(tensor, rows))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Rows":
        def changed(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else change(tensor)

        return Rows(
            x=change(self.x),
            timesteps=change(self.timesteps),
            text=change(self.text),
            low_res=changed(self.low_res),
            noise_levels=changed(self.noise_levels),
            adapter_scales=changed(self.adapter_scales),
        )


def _padded(tensor: Tensor, rows: int) -> Tensor:
    missing = rows - len(tensor)
    return torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])


@dataclass(frozen=True)
class NetworkOptions:
    """buckets: the numbers of rows that a forward may have; None is any.

    A batch is cut into the largest bucket and the rest padded to the smallest that holds it. With
    one bucket a row comes out the same to the last bit whatever it was batched with.
    compiled: use torch.compile, which on a GPU also records a CUDA graph. It compiles for each
    bucket, so it needs them; pictures of another shape than the network's own are run without.
    """

    buckets: tuple[int, ...] | None = None
    compiled: bool = False


class Network:
    """Runs the U-Net, the faster and the more evenly as the options say.

    adapters: the names of those that rows can ask for.
    """

    def __init__(
        self,
        unet: UNet2DConditionModel,
        options: NetworkOptions | None = None,
        adapters: Sequence[Adapter] = (),
    ):
        """adapters: see AdaptedUNet; with any, the U-Net is altered."""
        options = options or NetworkOptions()
        if options.compiled and not options.buckets:
            raise ValueError("a compiled network needs buckets: it is compiled for each of them")
        self.device: torch.device = unet.device
        self.dtype: torch.dtype = unet.dtype
        self.buckets = None if options.buckets is None else tuple(sorted(options.buckets))
        self.unet = unet
        self.adapters = tuple(adapter.name for adapter in adapters)
        self._forward: Any = AdaptedUNet(unet, adapters) if adapters else unet
        self._own_shape = (unet.config["sample_size"],) * 2
        self._compiled: Any = None
        if options.compiled:
            # Each bucket of each stage is one more compilation of the same Python function.
            torch._dynamo.config.recompile_limit = 256  # noqa: SLF001
            self._compiled = torch.compile(self._forward, mode="reduce-overhead", dynamic=False)
        else:
            tune_for_cpu(unet)

    @property
    def is_compiled(self) -> bool:
        return self._compiled is not None

    def __call__(self, rows: Rows) -> Tensor:
        """[R, 3 or, with a predicted variance, 6, H, W] float32."""
        if self.buckets is None:
            return self._run(rows)
        parts = [self._run(part.padded(bucket))[: len(part)] for part, bucket in self._cut(rows)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _cut(self, rows: Rows) -> Iterator[tuple[Rows, int]]:
        """The rows in parts, each with the bucket that holds it."""
        assert self.buckets is not None
        largest = self.buckets[-1]
        for start in range(0, len(rows), largest):
            part = rows[start : start + largest]
            yield part, next(bucket for bucket in self.buckets if bucket >= len(part))

    def _run(self, rows: Rows) -> Tensor:
        forward = self._forward
        if self._compiled is not None and rows.x.shape[-2:] == self._own_shape:
            forward = self._compiled
            torch.compiler.cudagraph_mark_step_begin()
        x = rows.x if rows.low_res is None else torch.cat([rows.x, rows.low_res], dim=1)
        predicted: Tensor = forward(
            x.to(self.dtype).contiguous(memory_format=torch.channels_last),
            rows.timesteps,
            encoder_hidden_states=rows.text.to(self.dtype),
            class_labels=rows.noise_levels,
            return_dict=False,
            **self._adapter_scales(rows),
        )[0]
        # A copy: a CUDA graph's output is overwritten by its next run.
        return predicted.to(torch.float32, copy=True)

    def _adapter_scales(self, rows: Rows) -> dict[str, Tensor | None]:
        """What the forward takes beside the usual, where there are adapters."""
        if not self.adapters:
            return {}
        scales = rows.adapter_scales
        if scales is None and self.is_compiled:
            # One graph for all batches: a second one would be compiled to round otherwise.
            scales = torch.zeros(len(rows), len(self.adapters), device=self.device)
        return {"adapter_scales": scales}
