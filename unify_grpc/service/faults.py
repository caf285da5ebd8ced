"""All faults of a request at once: checks go on after one has refused something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from unify_grpc.service.errors import RequestInvalidError, UnifyError

if TYPE_CHECKING:
    from types import TracebackType


class Faults:
    """Collects what is wrong with a request, check by check.

    Each check runs in a `with` block of its own, which ends where the check refuses. Whatever the
    blocks assign is there once `refuse` has returned.
    """

    def __init__(self) -> None:
        self._violations: list[tuple[str, str]] = []
        self._other: UnifyError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, RequestInvalidError):
            self._violations.extend(error.violations)
        elif isinstance(error, UnifyError):
            self._other = self._other or error
        else:
            return False
        return True

    def add(self, field: str, text: str) -> None:
        """Notes that something is wrong with a field."""
        self._violations.append((field, text))

    def refuse(self) -> None:
        """Raises what the checks found; does nothing where that is nothing.

        Raises:
            RequestInvalidError: with every fault of the request, if it has any.
            UnifyError: else the first other refusal, such as a profile that there is not.
        """
        if self._violations:
            raise RequestInvalidError(self._violations)
        if self._other is not None:
            raise self._other
