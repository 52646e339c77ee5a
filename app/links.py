"""The absolute URLs in answers."""

from dataclasses import dataclass

from workers.jobs.job import ImageResult


@dataclass(frozen=True)
class Links:
    """URLs as the client sees the service. `base` ends without a slash."""

    base: str

    def job(self, job_id: str) -> str:
        """Where the job can be asked for."""
        return f"{self.base}/jobs/{job_id}"

    def cancel(self, job_id: str) -> str:
        """Where the job can be canceled."""
        return f"{self.job(job_id)}/cancel"

    def image(self, image: ImageResult) -> str:
        """Where the PNG is."""
        return f"{self.base}/images/{image.path}"
