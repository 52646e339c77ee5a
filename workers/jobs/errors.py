"""The one exception tree. What a caller may catch; app/ maps it to HTTP statuses."""


class ImagenError(Exception):
    """Base of every error that this project raises on purpose.

    ImagenError
    ├── JobNotFound         no job of this id, or its record has expired
    ├── OtherContract       a job that another version of imagen accepted, and this one cannot read
    ├── ImageNotFound       no such image in the store, or a path that cannot name one
    ├── NoCard              no living worker has published a cascade card
    ├── RequestKeyReused    an idempotency key that came with another request before
    ├── QuotaExceeded       workers/jobs/admission.py: no room for more images
    ├── InputExpired        an embedding or artifact that a task needs is gone
    ├── ImageStoreUnavailable  the image store cannot be reached, or written
    ├── InvalidImageStore   the settings name no image store that can be opened
    ├── QueueUnavailable    Redis cannot be reached, or cannot take the write
    ├── ServerNotStarted    the embedded server cannot be started
    ├── CannotListen        app/processes/address.py: the port is taken, or not ours to use
    ├── Unguarded           app/processes/address.py: other machines would be served without a key
    ├── AddressRefused      app/webhooks/address.py: a webhook's host has a private address
    ├── ProgramRefused      app/processes/supervisor.py: a child says that it was started wrongly
    ├── QueueEnded          app/processes/serve.py: the embedded server ended while it was in use
    ├── StepTooLong         workers/worker.py: a step outlived the grace of a worker that stops
    ├── CannotServeMetrics  workers/metrics.py: IMAGEN_METRICS_PORT cannot be listened at
    ├── Unreachable         app/client/errors.py: a service that does not answer, or not as ours do
    ├── Refused             app/client/errors.py: a request that a service refuses
    ├── CommandFailed       app/commands/outcome.py: with the exit status of the command
    └── RequestError        app/errors.py: a request that is refused, by field
    """


class JobNotFound(ImagenError):
    """No job of this id, or its record has expired."""


class OtherContract(ImagenError):
    """A job that another version of imagen accepted, and this one cannot read."""


class ImageNotFound(ImagenError):
    """No such image in the store, or a path that cannot name one."""


class NoCard(ImagenError):
    """No living worker has published a cascade card."""


class RequestKeyReused(ImagenError):
    """An idempotency key that came with another request before."""


class InputExpired(ImagenError):
    """An embedding or artifact that a task needs is gone; the job cannot go on."""


class ImageStoreUnavailable(ImagenError):
    """The image store cannot be reached, or written: full, read-only, or away."""


class InvalidImageStore(ImagenError):
    """The settings name no image store that can be opened; the message has variable and remedy."""


class QueueUnavailable(ImagenError):
    """Redis cannot be reached, or cannot take the write. Trying again later may succeed."""


class ServerNotStarted(ImagenError):
    """The embedded server cannot be started; the message says why and what to do."""
