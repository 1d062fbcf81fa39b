"""What the jobs raise besides the engine's own errors."""

from engine.errors import EngineError


class ParameterRefused(EngineError):
    """Raised when a job does not exist, or cannot be set up with the parameters given; nothing was read or sent."""
