"""What can go wrong with a cascade, while it is trained and while it draws.

ValueError
├── InvalidCascade    a folder, file or setting that is not a cascade; the message says the remedy
├── InvalidTraining   a training file or data that cannot be trained with; likewise
└── NotFinite         a network came to infinity or to what is not a number
RuntimeError
├── DeviceLost        the device computes nothing more in this process
└── TrainingFailed    training cannot go on; the message names the step
"""


class InvalidCascade(ValueError):
    """The cascade cannot be loaded; the message names the file and the remedy."""


class InvalidTraining(ValueError):
    """Training cannot begin; the message names the file, the field and the remedy."""


class NotFinite(ValueError):
    """An image or embedding holds infinity or NaN; the message names the stage and the remedy."""


class DeviceLost(RuntimeError):
    """Whatever is computed next in this process would fail too: it has to end."""


class TrainingFailed(RuntimeError):
    """What was computed is not finite, or cannot be kept; the message names step and remedy."""
