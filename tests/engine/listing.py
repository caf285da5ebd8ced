"""Lists of a space that is all at hand, read page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc.machines.list_questions import NEWEST, ListSpaceViolations
from unify_grpc.machines.space_lists import ByActivity, ByPrefix, ByTrait, list_profiles
from unify_grpc.machines.space_records import list_violations

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.engine.reading import SpaceReads
    from unify_grpc.machines.list_questions import FoundViolation
    from unify_grpc.machines.space_lists import Search

PAGES_MAX = 1000


def names_of(
    service: SpaceReads,
    search: Callable[[bool], Search],
    size: int,
    between: Callable[[], object] = lambda: None,
) -> list[frozenset[str]]:
    """Returns every profile of a list as the set of its identifiers, in the list's order.

    Args:
        service: whose profiles.
        search: makes a search, told whether it is for the first page.
        size: of a page.
        between: called after each page.
    """
    found: list[frozenset[str]] = []
    cursors: list[Any] | None = None
    for _ in range(PAGES_MAX):
        page = service.read(
            list_profiles(
                service.shard_map, service.space.number, search(cursors is None), cursors, size
            )
        )
        assert len(page.profiles) <= size
        found.extend(
            frozenset(f"{part.type}:{part.value}" for part in profile.identifiers)
            for profile in page.profiles
        )
        cursors = page.cursors
        if cursors is None:
            return found
        between()
    message = "a list does not end"
    raise AssertionError(message)


def by_activity(collection: int = 0) -> Callable[[bool], Search]:
    """Lists by newest activity."""
    return lambda is_first: ByActivity(1, collection, with_traits=False, is_first_page=is_first)


def by_prefix(type_: str, beginning: str, collection: int = 0) -> Callable[[bool], Search]:
    """Lists by the beginning of an identifier."""
    return lambda _: ByPrefix(1, collection, type_, beginning, with_traits=False)


def by_trait(name: str, text: str, collection: int = 0) -> Callable[[bool], Search]:
    """Lists by the folded value of a trait."""
    return lambda _: ByTrait(1, collection, name, text)


def violations(service: SpaceReads, size: int = 100, **filters: Any) -> list[FoundViolation]:
    """Returns all violations that agree with filters, the newest first."""
    asked: dict[str, Any] = {
        "kinds": [],
        "identifier_type": "",
        "fingerprints": [],
        "start_us": None,
        "end_us": None,
        **filters,
    }
    question = ListSpaceViolations(space=service.space.number, before=NEWEST, limit=0, **asked)
    found: list[FoundViolation] = []
    cursors: list[int | None] | None = None
    for _ in range(PAGES_MAX):
        page = service.read(list_violations(service.shard_map, question, cursors, size))
        found.extend(violation for violation, _ in page.violations)
        cursors = page.cursors
        if cursors is None:
            return found
    message = "a list does not end"
    raise AssertionError(message)
