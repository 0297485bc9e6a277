"""``llama_cpp._logger``: the logger, for programs that silence it."""

from .._log import logger

__all__ = ["logger"]
