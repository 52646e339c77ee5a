"""Drawing in this process, for `imagen generate`."""

from collections.abc import Mapping

from app.commands.bars import Bars, waiting_for
from app.commands.drawn import DrawnPictures
from app.commands.files import PictureFiles
from app.commands.options import read_settings
from app.commands.outcome import CommandFailed, WrongUsage
from app.commands.torch_imports import torch_imports
from app.commands.wording import as_options
from workers.settings import WorkerSettings


def draw_here(
    request: Mapping[str, object],
    cascade: str | None,
    device: str | None,
    files: PictureFiles,
    as_json: bool,
    started_s: float,
) -> None:
    """Write the pictures that a request is for, and tell of them.

    request: as for POST /generate. started_s: when the command began, by time.monotonic().
    Raises: WrongUsage, CommandFailed.
    """
    settings = read_settings(WorkerSettings, cascade=cascade, device=device)
    with waiting_for("loading torch and the cascade"):
        with torch_imports():
            from app.answers import ResolvedParameters
            from app.draw import Drawing
            from app.errors import InvalidRequest
            from model.errors import InvalidCascade, NotFinite
        try:
            drawing = Drawing(request, settings)
        except InvalidRequest as error:
            raise WrongUsage(as_options(error.problems)) from error
        except InvalidCascade as error:
            raise WrongUsage(f"--cascade or --device: {error}") from error
    asked = drawing.parameters
    pictures = DrawnPictures(files, asked.prompt, asked.n, started_s)
    shape = {"width": asked.width, "height": asked.height}
    steps = {stage.name: stage.steps for stage in asked.stages}
    try:
        with Bars(steps, asked.n) as bars:
            for each in drawing.pictures(bars.at):
                pictures.save(each.png, each.index, each.seed, blocked_by=each.blocked_by, **shape)
                bars.done(each.index)
    except NotFinite as error:
        raise CommandFailed(str(error)) from error
    finally:
        parameters = ResolvedParameters.of(asked).model_dump(mode="json")
        pictures.tell(as_json, drawing.warnings, parameters=parameters)
    pictures.check_none_is_blocked()
