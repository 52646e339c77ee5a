"""The absolute URLs in answers."""

from dataclasses import dataclass

from workers.jobs.job import ImageResult


@dataclass(frozen=True)
class Links:
    """URLs as the client sees the service. `base` ends without a slash."""

    base: str

    @property
    def jobs(self) -> str:
        """Where the owner's jobs are listed."""
        return f"{self.base}/jobs"

    def job(self, job_id: str) -> str:
        """Where the job can be asked for."""
        return f"{self.base}/jobs/{job_id}"

    def events(self, job_id: str) -> str:
        """Where what happens to the job is told as it happens."""
        return f"{self.job(job_id)}/events"

    def cancel(self, job_id: str) -> str:
        """Where the job can be canceled."""
        return f"{self.job(job_id)}/cancel"

    def image(self, image: ImageResult) -> str:
        """Where the PNG is."""
        return f"{self.base}/images/{image.path}"
