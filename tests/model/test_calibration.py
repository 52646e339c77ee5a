"""The number of rows follows from what forwards take."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel

from model import calibration
from model.calibration import LONGEST_FORWARD_S, Calibration, calibrate, knee
from model.network import Network, NetworkOptions, Rows
from tests.tiny_cascade import TEXT_WIDTH

DOUBLINGS = (1, 2, 4, 8, 16, 32, 64)


def hardware(fixed_ms: float, row_ms: float, fits: int = 64) -> Callable[[int], float]:
    """Takes fixed_ms for a forward and row_ms for each row of it."""

    def forward_s(rows: int) -> float:
        if rows > fits:
            raise torch.OutOfMemoryError
        return (fixed_ms + row_ms * rows) / 1000

    return forward_s


def test_hardware_that_is_full_with_one_row_gets_one() -> None:
    assert knee(hardware(fixed_ms=0, row_ms=10), DOUBLINGS).rows == 1


def test_the_more_a_forward_costs_by_itself_the_more_rows_share_it() -> None:
    found = [knee(hardware(fixed_ms, row_ms=10), DOUBLINGS) for fixed_ms in (4, 16, 64)]
    # 32 rows take 10 ms each and their share of fixed_ms, and are the most that 0.5 s holds; these
    # take at most a tenth more.
    assert [each.rows for each in found] == [4, 16, 32]
    assert [each.row_ms for each in found] == pytest.approx([11, 11, 12])


def test_one_slow_measurement_does_not_end_the_search() -> None:
    steady = hardware(fixed_ms=16, row_ms=10)
    assert knee(lambda rows: steady(rows) * (2 if rows == 2 else 1), DOUBLINGS).rows == 16


def test_rows_end_where_memory_does() -> None:
    assert knee(hardware(fixed_ms=100, row_ms=1, fits=8), DOUBLINGS).rows == 8


def test_not_even_one_row_is_told() -> None:
    with pytest.raises(MemoryError, match="not one row fits"):
        knee(hardware(fixed_ms=1, row_ms=1, fits=0), DOUBLINGS)


def test_no_forward_is_long() -> None:
    slow = hardware(fixed_ms=1000 * LONGEST_FORWARD_S, row_ms=1)
    assert knee(slow, DOUBLINGS).rows == 1


def test_a_real_network_is_tried(tiny_cascade: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    row = Rows(torch.zeros(1, 3, 8, 8), torch.zeros(1).long(), torch.zeros(1, 2, TEXT_WIDTH))
    found = calibrate(Network(unet), row)
    assert found.rows in (1, 2, 4, 8, 16, 32, 64, 128)
    assert found.row_ms > 0


def test_only_buckets_are_tried(tiny_cascade: Path) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    row = Rows(torch.zeros(1, 3, 8, 8), torch.zeros(1).long(), torch.zeros(1, 2, TEXT_WIDTH))
    assert calibrate(Network(unet, NetworkOptions((3,))), row).rows == 3


def test_rows_that_are_set_are_the_ones_that_are_timed(
    tiny_cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    row = Rows(torch.zeros(1, 3, 8, 8), torch.zeros(1).long(), torch.zeros(1, 2, TEXT_WIDTH))
    timed: list[int] = []

    def forward_s(network: Network, rows: Rows) -> float:
        timed.append(len(rows))
        return 0.012

    monkeypatch.setattr(calibration, "_forward_s", forward_s)
    assert calibrate(Network(unet), row, rows=6) == Calibration(6, row_ms=2.0)
    assert timed == [6]
    buckets = NetworkOptions((1, 2, 4, 8, 16))
    calibrate(Network(unet, buckets), row, rows=6)
    assert timed[-4:] == [1, 2, 4, 8]  # whatever a step of six rows may need


def test_one_row_is_tried_however_full_the_memory_is(
    tiny_cascade: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_has_memory_for_twice", lambda device, resting: False)
    unet = UNet2DConditionModel.from_pretrained(tiny_cascade / "base" / "unet")
    row = Rows(torch.zeros(1, 3, 8, 8), torch.zeros(1).long(), torch.zeros(1, 2, TEXT_WIDTH))
    assert calibrate(Network(unet), row).rows == 1
