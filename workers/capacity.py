"""How many rows a step of each stage holds in this worker: as set, or found by trying."""

import logging

import torch

from model.calibration import Calibration, calibrate
from model.cascade import Cascade
from model.errors import InvalidCascade
from model.network import NetworkOptions
from model.stage import Stage
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

COMPILED_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


def network_options(settings: WorkerSettings) -> NetworkOptions:
    """How this worker's networks run."""
    if settings.exact_rows is not None:
        return NetworkOptions((settings.exact_rows,), settings.compile)
    return NetworkOptions(COMPILED_BUCKETS if settings.compile else None, settings.compile)


def find_capacities(cascade: Cascade, settings: WorkerSettings) -> dict[str, Calibration]:
    """For each diffusion stage that is loaded. Takes seconds; minutes where it compiles.

    Raises InvalidCascade where a device is too small for a stage.
    """
    return {stage.spec.name: _find(stage, cascade, settings) for stage in cascade.stages}


def _find(stage: Stage, cascade: Cascade, settings: WorkerSettings) -> Calibration:
    name, device = stage.spec.name, stage.network.device
    log.info("stage %s: trying how many rows a step should hold", name)
    text = torch.zeros(cascade.spec.text.max_tokens, cascade.spec.text.width)
    rows = settings.exact_rows or settings.rows
    try:
        found = calibrate(stage.network, stage.one_row(text), rows)
    except MemoryError as error:
        raise InvalidCascade(
            f"stage {name} on {device}: {error}; place it elsewhere (IMAGEN_DEVICE), or serve fewer"
            " stages here (IMAGEN_STAGES)"
        ) from None
    log.info("stage %s: %d rows, %.1f ms each", name, found.rows, found.row_ms)
    return found
