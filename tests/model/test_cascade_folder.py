"""What is read from the configurations of a cascade's folders."""

import json
from pathlib import Path

import pytest

from model.cascade_folder import StageEntry, read_stage_spec


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        (
            {"thresholding": True, "dynamic_thresholding_ratio": 0.95, "sample_max_value": 1.5},
            (0.95, 1.5),
        ),
        ({"thresholding": False, "clip_sample": True}, (1.0, 1.0)),
        ({"thresholding": False, "clip_sample": False}, (None, 1.0)),
    ],
)
def test_thresholding_and_clipping_are_honoured(
    tiny_cascade: Path,
    tmp_path: Path,
    configured: dict[str, object],
    expected: tuple[float | None, float],
) -> None:
    stage = tiny_cascade / "base"
    for name in ("unet/config.json", "scheduler/scheduler_config.json"):
        (tmp_path / name).parent.mkdir()
        config = json.loads((stage / name).read_text())
        changed = config | (configured if name.startswith("scheduler") else {})
        (tmp_path / name).write_text(json.dumps(changed))
    spec = read_stage_spec(tmp_path, StageEntry(path="base"))
    assert (spec.threshold_ratio, spec.threshold_cap) == expected
