"""How many rows a step of each stage holds in this worker: as set, or found by trying."""

import logging
from dataclasses import dataclass

import torch

from model.calibration import MOST_ROWS, calibrate
from model.cascade import Cascade
from model.network import NetworkOptions
from model.stage import Stage
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

COMPILED_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Capacity:
    """rows: of one step. row_ms: what a row took in a forward of so many."""

    rows: int
    row_ms: float


def network_options(settings: WorkerSettings) -> NetworkOptions:
    """How this worker's networks run."""
    if settings.exact_rows is not None:
        return NetworkOptions((settings.exact_rows,), settings.compile)
    return NetworkOptions(COMPILED_BUCKETS if settings.compile else None, settings.compile)


def find_capacities(cascade: Cascade, settings: WorkerSettings) -> dict[str, Capacity]:
    """For each diffusion stage that is loaded. Takes seconds; minutes where it compiles."""
    return {stage.spec.name: _find(stage, cascade, settings) for stage in cascade.stages}


def _find(stage: Stage, cascade: Cascade, settings: WorkerSettings) -> Capacity:
    log.info("stage %s: trying how many rows a step should hold", stage.spec.name)
    text = torch.zeros(cascade.spec.text.max_tokens, cascade.spec.text.width)
    most = settings.exact_rows or settings.rows or MOST_ROWS
    found = calibrate(stage.network, stage.one_row(text), most)
    rows = settings.exact_rows or settings.rows or found.rows
    log.info("stage %s: %d rows, %.1f ms each", stage.spec.name, rows, found.row_ms)
    return Capacity(rows, found.row_ms)
