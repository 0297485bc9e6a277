"""What libpuna says goes to logging.getLogger("puna"): nothing is printed unless a Llama is made with verbose=True
or the program gives that logger a handler and a level of its own."""

from __future__ import annotations

import atexit
import logging
import sys
from typing import Any

from ._binding import PUNA_LOG_DEBUG, PUNA_LOG_INFO, PUNA_LOG_WARN, lib, puna_log_fn

logger = logging.getLogger("puna")
logger.addHandler(logging.NullHandler())

_LEVELS = {PUNA_LOG_DEBUG: logging.DEBUG, PUNA_LOG_INFO: logging.INFO, PUNA_LOG_WARN: logging.WARNING}


class _Stderr(logging.StreamHandler[Any]):
    """To whatever sys.stderr is when the message comes: notebooks and tests replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


_stderr = _Stderr()
_stderr.setFormatter(logging.Formatter("puna: %(message)s"))


@puna_log_fn  # type: ignore[untyped-decorator, unused-ignore]
def _from_c(_user: Any, level: int, message: bytes) -> None:
    logger.log(_LEVELS.get(level, logging.INFO), "%s", message.decode("utf-8", "replace"))


def set_verbose(verbose: bool) -> None:
    """Shows the messages on stderr. Never takes back what another Llama or the program has asked for."""
    if verbose and _stderr not in logger.handlers:
        logger.addHandler(_stderr)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _silence() -> None:
    lib.puna_set_log(puna_log_fn(), None)


lib.puna_set_log(_from_c, None)
atexit.register(_silence)
