"""What can go wrong with a cascade.

ValueError
└── InvalidCascade    a folder, file or setting that is not a cascade; the message says the remedy
"""


class InvalidCascade(ValueError):
    """The cascade cannot be loaded; the message names the file and the remedy."""
