"""What libpuna says goes to logging.getLogger("puna"): nothing is printed unless a Llama is made with verbose=True
or the program gives that logger a handler and a level of its own."""

from __future__ import annotations

import atexit
import logging
import sys
from typing import TYPE_CHECKING, Any

from ._binding import PUNA_LOG_DEBUG, PUNA_LOG_INFO, PUNA_LOG_WARN, lib, puna_log_fn

logger = logging.getLogger("puna")
logger.addHandler(logging.NullHandler())

_LEVELS = {PUNA_LOG_DEBUG: logging.DEBUG, PUNA_LOG_INFO: logging.INFO, PUNA_LOG_WARN: logging.WARNING}


if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[Any]
else:
    _StreamHandler = logging.StreamHandler


class _Stderr(_StreamHandler):
    """To whatever sys.stderr is when the message comes: notebooks and tests replace it. Says nothing where the program
    has handlers of its own, which get the message too."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr

    def filter(self, record: logging.LogRecord) -> Any:
        return not logging.getLogger().handlers and super().filter(record)


_stderr = _Stderr()
_stderr.setFormatter(logging.Formatter("puna: %(message)s"))


@puna_log_fn  # type: ignore[untyped-decorator, unused-ignore]
def _from_c(_user: Any, level: int, message: bytes) -> None:
    logger.log(_LEVELS.get(level, logging.INFO), "%s", message.decode("utf-8", "replace"))


def set_verbose(verbose: bool) -> None:
    """Shows messages on stderr: warnings, unless the program has given the logger another level. Never takes back what
    another Llama has asked for."""
    if verbose and _stderr not in logger.handlers:
        logger.addHandler(_stderr)


def _silence() -> None:
    lib.puna_set_log(puna_log_fn(), None)


lib.puna_set_log(_from_c, None)
atexit.register(_silence)
