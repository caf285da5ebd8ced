"""What a unary call is, for both clients: what is asked, and how the answer is read.

The calls themselves are in the modules named after the services, each written once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[T]):
    """One unary call. Each may be repeated: reads change nothing, writes carry an id."""

    service: str
    method: str
    request: Message
    read: Callable[[Any], T]
    """Reads the answer."""
    after_deadline: bool = False
    """Whether it is repeated after DEADLINE_EXCEEDED too."""


@dataclass(frozen=True, slots=True)
class PagedOperation(Generic[T]):
    """A list that comes in pages."""

    page: Callable[[str], Operation[tuple[list[T], str]]]
    """Returns the call for the page of a token; reads its items and the next token."""


def paged(
    service: str, method: str, first: Any, items: str, read: Callable[[Any], T]
) -> PagedOperation[T]:
    """Returns a list by its first request; `items` is the field of the answers that holds it."""

    def page(page_token: str) -> Operation[tuple[list[T], str]]:
        request = type(first)()
        request.CopyFrom(first)
        request.page_token = page_token
        return Operation(
            service=service,
            method=method,
            request=request,
            read=lambda response: (
                [read(item) for item in getattr(response, items)],
                response.next_page_token,
            ),
        )

    return PagedOperation(page)
