"""Structured logs: JSON lines on stderr, or coloured text where stderr is a terminal.

Call `configure_logging` once in each process, never at import. Identifier and trait values never
go into a log.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

if TYPE_CHECKING:
    from pathlib import Path


class LogFile:
    """A file of log lines. A line that finds no room is lost; who logs it goes on."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)

    def write(self, text: str) -> None:
        """Appends text, if there is room."""
        with contextlib.suppress(OSError):
            self._file.write(text.encode(errors="replace"))

    def flush(self) -> None:
        """Does nothing: nothing is held back."""

    def isatty(self) -> bool:
        """Says that nobody reads along."""
        return False


def configure_logging(level: str, path: Path | None = None) -> None:
    """Sets up logging for this process.

    Args:
        level: a name of the standard library's.
        path: a file to append to; stderr if None.
    """
    number = logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ValueError(f"log level {level!r} is not known")  # noqa: TRY004 - a wrong value
    file: Any = sys.stderr if path is None else LogFile(path)
    is_terminal = file.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if is_terminal
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Returns a logger whose lines say which part of the service wrote them."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(part=name)
    return logger


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
