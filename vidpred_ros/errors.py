"""The errors that a user can cause. Each message says what is wrong, where, and what to do."""


class VidpredError(Exception):
    """Base of every error that is reported to the user as one line, without a traceback."""


class SourceError(VidpredError):
    """A SOURCE (bag, video, folder, synthetic drive) cannot be read."""


class ImageError(VidpredError):
    """An image message or array does not hold what its header says."""


class ModelError(VidpredError):
    """A model folder, its model.yaml or its weights are missing, damaged or do not match."""


class EngineError(VidpredError):
    """An inference engine is not installed, or refuses or mismatches its exported file."""


class ConfigError(VidpredError):
    """A parameter, recipe or command-line value is out of range or unknown."""
