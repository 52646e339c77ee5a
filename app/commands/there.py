"""Drawing by a service, for `imagen generate`; and following its jobs, for `imagen jobs` too."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from app.answers import ImageAnswer, JobAnswer
from app.client.errors import Refused, Unreachable
from app.client.service import Service, may_pass
from app.commands.bars import Bars
from app.commands.drawn import DrawnPictures
from app.commands.files import PictureFiles
from app.commands.job_text import standing
from app.commands.outcome import CommandFailed, EndedEarly, say
from workers.jobs.errors import ImagenError
from workers.jobs.job import JobStatus


def leave_there(service: Service, request: Mapping[str, object], as_json: bool) -> None:
    """Print the id of the job, or the job, which goes on."""
    job = service.generate(request)
    print(job.model_dump_json() if as_json else job.id)


def draw_there(
    service: Service,
    request: Mapping[str, object],
    files: PictureFiles,
    as_json: bool,
    started_s: float,
) -> None:
    """Write the pictures that a request is for, and tell of them.

    request: as for POST /generate. started_s: when the command began, by time.monotonic().
    On KeyboardInterrupt the job is canceled. Raises: Refused, Unreachable, CommandFailed.
    """
    job = _submit(service, request)
    try:
        _collect(service, job, files, as_json, started_s)
    except KeyboardInterrupt:
        _cancel(service, job.id)
        raise
    except _NotKept as error:
        told = f"{error}; `imagen jobs download {job.id}` writes the pictures of its job"
        raise (Unreachable if error.may_pass else CommandFailed)(told) from error


def follow(
    service: Service,
    job: JobAnswer,
    finished: Callable[[ImageAnswer], None] = lambda image: None,
) -> JobAnswer:
    """The job when it has ended; until then with bars.

    finished: called with each picture when it is known of, and perhaps again.
    """
    steps = dict(zip(job.stages, job.parameters.steps, strict=True))
    with Bars(steps, job.parameters.n) as bars:
        for happening in service.follow(job):
            match happening:
                case JobAnswer():
                    job = happening
                    bars.waits(standing(job))
                    for image in job.images:
                        bars.done(image.index)
                        finished(image)
                case ImageAnswer():
                    bars.done(happening.index)
                    finished(happening)
                case under_way:
                    for each in under_way:
                        bars.at(each.index, each.stage, each.step)
    return job


def check_succeeded(job: JobAnswer) -> None:
    """Raises: CommandFailed, EndedEarly, of a job that has ended otherwise."""
    done = f"{len(job.images)} of its {job.parameters.n} pictures are drawn"
    match job.status:
        case JobStatus.FAILED:
            why = "" if job.error is None else f": {job.error.message}"
            raise CommandFailed(f"job {job.id} has failed, {done}{why}")
        case JobStatus.CANCELED:
            raise EndedEarly(f"job {job.id} was canceled, {done}")
        case JobStatus.EXPIRED:
            raise EndedEarly(f"job {job.id} has expired, {done}")


def _submit(service: Service, request: Mapping[str, object]) -> JobAnswer:
    """The job. Who is interrupted meanwhile waits for its id, by which it is canceled."""
    pool = ThreadPoolExecutor(1)
    asking = pool.submit(service.generate, request)
    try:
        with pool:
            return asking.result()
    except KeyboardInterrupt:
        with suppress(ImagenError):
            _cancel(service, asking.result().id)
        raise


def _collect(
    service: Service, job: JobAnswer, files: PictureFiles, as_json: bool, started_s: float
) -> None:
    """Write the pictures as they come, and tell of them in the end."""
    asked = job.parameters
    pictures = DrawnPictures(files, asked.prompt, asked.n, started_s)

    def fetch(image: ImageAnswer) -> None:
        if not pictures.has(image.index):
            try:
                pictures.save(service.picture(image), **image.model_dump(exclude={"url"}))
            except (OSError, Unreachable, Refused) as error:
                raise _NotKept(error) from error

    try:
        job = follow(service, job, fetch)
    finally:
        parameters = asked.model_dump(mode="json")
        pictures.tell(as_json, job.warnings, job=job.id, parameters=parameters)
    check_succeeded(job)
    pictures.check_none_is_blocked()


class _NotKept(Exception):
    """A picture that cannot be fetched or written; its job goes on."""

    def __init__(self, error: OSError | Unreachable | Refused) -> None:
        super().__init__(str(error))
        self.may_pass = not isinstance(error, OSError) and may_pass(error)


def _cancel(service: Service, job_id: str) -> None:
    try:
        job = service.cancel(job_id)
    except ImagenError as error:
        say(f"imagen: job {job_id} goes on ({error}); `imagen jobs cancel {job_id}` ends it")
    else:
        say(f"imagen: job {job_id}: {standing(job)}")
