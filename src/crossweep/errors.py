"""The exceptions of crossweep: each message states the rule, the values, and where to change them."""


class CrossweepError(Exception):
    """Base of every error a user can cause; the entry points print it as one line and exit with code 2."""


class ConfigError(CrossweepError):
    """A setting, a file or a combination of settings breaks a rule."""


class FieldError(ConfigError):
    """A field of a dataclass of parameters breaks a rule; who knows the key that was typed puts it in front.

    Args:
        name: the field; several as ``first, .second``.
        rule: the rule, and the value that breaks it.
    """

    def __init__(self, name: str, rule: str) -> None:
        super().__init__(f"{name}: {rule}")


class ShapeError(CrossweepError):
    """A tensor has the wrong shape for the tile, device or layer it was handed to."""


class DivergedError(CrossweepError):
    """Training produced a non-finite loss; a result (chance accuracy), not a crash."""


class StudyError(CrossweepError):
    """A study cannot start, go on or be collected."""
