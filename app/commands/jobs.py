"""`imagen jobs`: lists, shows, watches, ends and downloads the jobs of a service."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.commands.files import PictureFiles
from app.commands.options import LOCAL_URL, AsJson, Key, Url, connect
from app.commands.outcome import CommandFailed, say

if TYPE_CHECKING:
    from app.answers import JobAnswer

STATUSES = "queued, running, succeeded, failed, canceled or expired"

JobId = Annotated[str, typer.Argument(metavar="ID", help="As `imagen jobs list` shows it.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="As `imagen jobs list` shows it.")]

jobs = typer.Typer(
    name="jobs",
    help="""List, show, watch, end and download the jobs of a service.

    For example:
    $ imagen jobs list --status running
    $ imagen jobs download 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5 -o cat.png
    """,
    no_args_is_help=True,
)


@jobs.command("list")
def list_jobs(
    status: Annotated[
        Literal["queued", "running", "succeeded", "failed", "canceled", "expired"] | None,
        typer.Option(metavar="STATUS", help=f"Only those that stand so: {STATUSES}."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only those with this in their prompt.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="The most to list.", min=1)] = 20,
    everything: Annotated[bool, typer.Option("--all", help="List as many as there are.")] = False,
    as_json: AsJson = False,
    url: Url = LOCAL_URL,
    key: Key = None,
) -> None:
    """List jobs, the newest first.

    For example:
    $ imagen jobs list --status running
    $ imagen jobs list --all --json | jq length
    """
    from app.commands.job_text import print_jobs

    asked = {"status": status, "prompt": prompt}
    wanted = {name: value for name, value in asked.items() if value is not None}
    with connect(url, key) as service:
        found = list(service.jobs(None if everything else limit, **wanted))
    if as_json:
        print(json.dumps([job.model_dump(mode="json") for job in found]))
    elif found:
        print_jobs(found)
    else:
        say("There is no such job." if wanted else "There is no job.")


@jobs.command()
def show(job_id: JobId, as_json: AsJson = False, url: Url = LOCAL_URL, key: Key = None) -> None:
    """Show all there is to know of a job.

    For example:
    $ imagen jobs show 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5
    """
    with connect(url, key) as service:
        _tell(service.job(job_id), as_json)


@jobs.command()
def watch(job_id: JobId, as_json: AsJson = False, url: Url = LOCAL_URL, key: Key = None) -> None:
    """Watch a job until it has ended; Ctrl-C leaves it as it is.

    Ends with status 0 where the job has succeeded, 1 where it has failed,
    4 where it was canceled or has expired.

    For example:
    $ imagen jobs watch 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5
    """
    from app.commands.there import check_succeeded, follow

    with connect(url, key) as service:
        job = follow(service, service.job(job_id))
    _tell(job, as_json)
    check_succeeded(job)


@jobs.command()
def cancel(job_ids: JobIds, as_json: AsJson = False, url: Url = LOCAL_URL, key: Key = None) -> None:
    """End jobs before their next step; what is done of them stays.

    For example:
    $ imagen jobs cancel 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5
    """
    with connect(url, key) as service:
        for job_id in job_ids:
            _tell_in_short(service.cancel(job_id), as_json)


@jobs.command()
def delete(job_ids: JobIds, as_json: AsJson = False, url: Url = LOCAL_URL, key: Key = None) -> None:
    """End jobs, and take their prompts and pictures away.

    For example:
    $ imagen jobs delete 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5
    """
    with connect(url, key) as service:
        for job_id in job_ids:
            _tell_in_short(service.delete(job_id), as_json)


@jobs.command()
def download(
    job_id: JobId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="PNG to write; of cat.png, several are cat-0.png ... (else a-red-cat-7.png).",
        ),
    ] = None,
    url: Url = LOCAL_URL,
    key: Key = None,
) -> None:
    """Write the pictures of a job that are done.

    For example:
    $ imagen jobs download 2f6c1c9f0b7d4f0e9a53b1d0c8e7a6f5 -o cat.png
    """
    files = PictureFiles(output)
    with connect(url, key) as service:
        job = service.job(job_id)
        for image in job.images:
            path = files.path(job.parameters.prompt, job.parameters.n, image.index, image.seed)
            path.write_bytes(service.picture(image))
            print(path)
    if not job.images:
        raise CommandFailed(f"job {job_id} has no pictures: it is {job.status}")


def _tell(job: "JobAnswer", as_json: bool) -> None:
    from app.commands.job_text import lines

    print(job.model_dump_json() if as_json else "\n".join(lines(job)))


def _tell_in_short(job: "JobAnswer", as_json: bool) -> None:
    from app.commands.job_text import standing

    print(job.model_dump_json() if as_json else f"{job.id} {standing(job)}")
