"""How a broken promise is reported."""

from __future__ import annotations


class Violation(AssertionError):  # noqa: N818  named as it is spoken of
    """Something that must hold did not."""


def require(holds: object, message: str) -> None:
    """Raises `Violation` unless it holds."""
    if not holds:
        raise Violation(message)
