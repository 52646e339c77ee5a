"""What is measured in the queue when someone looks. Every API of a queue tells the same."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from workers.jobs.depths import Depths

OF_STAGES: Mapping[str, tuple[str, str]] = {
    "ready": ("imagen_queue_ready_tasks", "Tasks that no worker has."),
    "held": ("imagen_queue_held_tasks", "Tasks that a worker has."),
    "lag_s": (
        "imagen_queue_lag_seconds",
        "How long the job whose task is next has seen nothing of the stage; 0 where none is ready.",
    ),
    "workers": ("imagen_queue_workers", "Living workers that serve the stage."),
    "rows": ("imagen_queue_worker_rows", "Rows that the steps of these workers hold."),
}
"""By field of StageDepth: name and help."""


class QueueMetrics(Collector):
    """Shows `depths` as they were last measured; without any, only that the queue is away."""

    def __init__(self) -> None:
        self.depths: Depths | None = None

    def collect(self) -> Iterator[Metric]:
        depths = self.depths
        yield GaugeMetricFamily(
            "imagen_queue_up", "1 where Redis answers.", float(depths is not None)
        )
        if depths is None:
            return
        yield GaugeMetricFamily(
            "imagen_queue_images", "Images accepted and not done.", depths.images
        )
        yield GaugeMetricFamily(
            "imagen_queue_webhooks", "Webhooks that wait for delivery.", depths.webhooks
        )
        for field, (name, help_text) in OF_STAGES.items():
            family = GaugeMetricFamily(name, help_text, labels=("stage",))
            for depth in depths.stages:
                family.add_metric((depth.stage,), getattr(depth, field))
            yield family
