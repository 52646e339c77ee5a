"""`imagen generate`: from options to a request, which is drawn here or by a service."""

import time
from collections.abc import Mapping

from app.commands import request_options as options
from app.commands.files import PictureFiles
from app.commands.options import AsJson, connect
from app.commands.outcome import WrongUsage
from app.commands.per_stage import interval, number, per_stage, whole_number
from app.commands.wording import option_of


def generate(
    prompt: options.Prompt,
    output: options.Output = None,
    n: options.Count = None,
    negative: options.Negative = None,
    seed: options.Seed = None,
    size: options.Size = None,
    width: options.Side = None,
    height: options.Side = None,
    as_json: AsJson = False,
    steps: options.Steps = None,
    guidance_scale: options.GuidanceScale = None,
    guidance_interval: options.GuidanceInterval = None,
    sampler: options.SamplerName = None,
    eta: options.Eta = None,
    aug_level: options.AugLevel = None,
    adapters: options.Adapters = None,
    cascade: options.CascadeHere = None,
    device: options.DeviceHere = None,
    url: options.ServiceUrl = None,
    key: options.ServiceKey = None,
    no_wait: options.NoWait = False,
    priority: options.JobPriority = None,
    deadline: options.Deadline = None,
    webhook: options.WebhookUrl = None,
) -> None:
    """Draw pictures: here and now, or with --url by a service.

    For example:
    $ imagen generate "a cat" -o cat.png
    $ imagen generate "two red apples" -n 4 --seed 7 --steps 30,8
    $ imagen generate "a big fish" --url http://127.0.0.1:8000 -o fish.png

    Ctrl-C cancels the job of a service, and keeps the pictures that are done.
    """
    started_s = time.monotonic()
    drawing: dict[str, object] = {
        "prompt": prompt,
        "n": n,
        "negative_prompt": negative,
        "seed": seed,
        "size": size,
        "width": width,
        "height": height,
        "steps": per_stage("--steps", steps, whole_number),
        "guidance_scale": per_stage("--guidance-scale", guidance_scale, number),
        "guidance_interval": per_stage("--guidance-interval", guidance_interval, interval),
        "sampler": per_stage("--sampler", sampler, str),
        "eta": per_stage("--eta", eta, number),
        "aug_level": per_stage("--aug-level", aug_level, number),
        "adapters": [_adapter(each) for each in adapters] if adapters else None,
    }
    job: dict[str, object] = {"priority": priority, "deadline_s": deadline, "webhook": webhook}
    files = PictureFiles(output)
    if not url:
        _refuse("is for a service: say which with --url", no_wait=no_wait, **job)
        from app.commands.here import draw_here

        draw_here(_given(drawing), cascade, device, files, as_json, started_s)
        return
    _refuse(f"is for pictures drawn here, not at {url}", cascade=cascade, device=device)
    if no_wait:
        _refuse("is for `imagen jobs download`, after --no-wait", output=output)
    from app.commands.there import draw_there, leave_there

    request = _given(drawing | job)
    with connect(url, key) as service:
        if no_wait:
            leave_there(service, request, as_json)
        else:
            draw_there(service, request, files, as_json, started_s)


def _adapter(text: str) -> dict[str, object]:
    """Raises: WrongUsage."""
    name, equals, scale = text.partition("=")
    if not equals:
        return {"name": name}
    try:
        return {"name": name, "scale": number(scale)}
    except ValueError:
        raise WrongUsage(f"--adapter {text} has no scale: use {name}, or {name}=0.5") from None


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse(why: str, **options: object) -> None:
    """Raises: WrongUsage that names the first of them that was given."""
    for field, value in options.items():
        if value not in (None, False):
            raise WrongUsage(f"{option_of(field)} {why}")
