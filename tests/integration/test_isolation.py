"""Spaces never meet: not in what they hold, and not in what any method tells of another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.integration.method_recipes import (
    OF_ALL_SPACES,
    RECIPES,
    kind_of,
    lists_pages,
    named_by,
)
from tests.integration.raw_calls import METHODS, Answer, RawCalls
from tests.integration.service import ADMIN_TOKEN
from tests.integration.two_spaces import (
    SAME_EVENTS,
    USER,
    Side,
    ingest,
    make_side,
    nowhere,
)
from tests.integration.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

WITH_PAGES = [name for name in METHODS if lists_pages(name)]
FOR_SPACES = [name for name in METHODS if name in RECIPES and RECIPES[name].needs != "admin"]
"""Methods that the credentials of a space are good for."""
MAY_CALL = {
    "ingest": {"write key"},
    "read": {"read", "admin"},
    "delete": {"delete", "admin"},
    "rules": {"rules", "admin"},
    "admin": {"admin"},
}
"""Kinds of credentials, by what a method needs."""


class World(NamedTuple):
    """Two spaces in one service, and one that never was."""

    calls: RawCalls
    mine: Side
    other: Side
    absent: Side


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    """Both spaces, filled by the same events."""
    with RawCalls(service.address) as calls:
        mine = make_side(calls, "mine", rules_version=2)
        other = make_side(calls, "other", rules_version=4)
        for side in (mine, other):
            for method in WITH_PAGES:
                key = ADMIN_TOKEN if RECIPES[method].needs == "admin" else side.tokens["all"]
                page = calls.response(method, calls(method, good(method, side), key=key))
                assert page.next_page_token, f"{method} has no second page"
                side.page_tokens[method] = page.next_page_token
        yield World(calls, mine, other, nowhere())


def good(method: str, side: Side) -> dict[str, Any]:
    """Returns the fields of a good request about a side."""
    assert method in RECIPES, f"method_recipes.py does not say how {method} is called"
    return RECIPES[method].fields(side)


def key_for(method: str, side: Side) -> str:
    """Returns a side's own credential for a method; an admin's where nothing else will do."""
    needs = RECIPES[method].needs
    if needs == "ingest":
        return side.write_key
    return ADMIN_TOKEN if needs == "admin" else side.tokens["all"]


def keys_by_kind(side: Side) -> dict[str, str]:
    """Returns a side's credentials by what they are good for."""
    return {"write key": side.write_key, "admin": ADMIN_TOKEN, **side.tokens}


# -- what spaces hold -------------------------------------------------------------------------


def test_the_same_events_make_different_profiles(world: World) -> None:
    """Equal identifiers and message ids in two spaces are two people, and no repetition."""
    mine, other = world.mine, world.other
    again = {side.label: ingest(world.calls, side, SAME_EVENTS[0]) for side in (mine, other)}

    assert not set(mine.segment_ids.values()) & set(other.segment_ids.values())
    for side in (mine, other):
        assert side.segment_ids["user"] == again[side.label].segment_id
        assert 4 == len(set(side.segment_ids.values()))


@pytest.mark.parametrize("method", [name for name in FOR_SPACES if not name.startswith("Space")])
def test_each_space_shows_its_own(method: str, world: World) -> None:
    """With the other's credential the same request is answered from the other's space alone."""
    for side, stranger in ((world.mine, world.other), (world.other, world.mine)):
        fields = good(method, stranger)
        if lists_pages(method):
            fields["page_size"] = 100
        answer = world.calls(method, fields, key=key_for(method, side))

        assert "OK" == answer.code, answer
        assert not [mark for mark in stranger.marks if answer.says(mark)]
        about_a_profile = {"ProfileName", "Event"} & _kinds(method)
        if about_a_profile and method != "ProfileService/ListLinks":
            assert answer.says(side.segment_ids["user"])


def _kinds(method: str) -> set[str]:
    return {kind_of(field) for field in METHODS[method].request.fields}


def test_a_tail_tells_of_its_own_space(world: World) -> None:
    """From before both spaces were filled, its first event is its own."""
    for side, stranger in ((world.mine, world.other), (world.other, world.mine)):
        method = "OperationsService/TailEvents"
        answer = world.calls(method, {"resume_token": side.resume_token}, key=side.tokens["all"])

        assert world.calls.response(method, answer).event.source_id == side.source_id
        assert not [mark for mark in stranger.marks if answer.says(mark)]


def test_request_ids_are_of_one_space(world: World) -> None:
    """The same id for the same change acts in each space, once."""
    for method in ("ProfileService/DeleteExternalIds", "SpaceService/SetRules"):
        replies = []
        for side in (world.mine, world.other):
            fields, key = good(method, side), side.tokens["all"]
            first, again = (world.calls(method, fields, key=key) for _ in range(2))
            assert ("OK", first) == (first.code, again), method
            replies.append(first)
        assert replies[0].data != replies[1].data, method


# -- what methods tell ------------------------------------------------------------------------


def test_every_method_is_gone_through() -> None:
    """A method without a recipe, or a recipe without its method, is named here."""
    assert set(METHODS) == set(RECIPES)
    for method in METHODS.values():
        for field in method.request.fields:
            named_by(nowhere(), kind_of(field))


@pytest.mark.parametrize("method", METHODS)
def test_what_belongs_to_another_space_does_not_exist(method: str, world: World) -> None:
    """Ids, names and tokens of another space are answered to the byte like made-up ones."""
    recipe = RECIPES[method]
    for field in METHODS[method].request.fields:
        kind = kind_of(field)
        if recipe.needs == "admin" and kind == "space":
            continue  # an admin's spaces are all of them
        if method == OF_ALL_SPACES:
            continue
        pairs = list(zip(named_by(world.other, kind), named_by(world.absent, kind), strict=True))
        for key, space in _own_callers(method, world.mine):
            for theirs, made_up in pairs:
                answers = [
                    world.calls(
                        method,
                        _naming(method, world.mine, field, thing),
                        key=key,
                        space=space,
                    )
                    for thing in (theirs, made_up)
                ]
                assert answers[0] == answers[1], f"{field.name}: {theirs}"
                assert not [mark for mark in world.other.marks if answers[0].says(mark)]
        if pairs and recipe.needs != "delete":
            _assert_it_exists(method, field, world)


def _own_callers(method: str, side: Side) -> list[tuple[str, str]]:
    """Returns (key, `unify-space`) of those who may ask about a side."""
    callers = [(key_for(method, side), "")]
    if RECIPES[method].needs in {"read", "delete"}:
        callers.append((ADMIN_TOKEN, side.name))
    return callers


def _naming(method: str, side: Side, field: Any, thing: Any) -> dict[str, Any]:
    """Returns a good request of a side's, but for one thing that it names."""
    fields = {**good(method, side), field.name: [thing] if field.is_repeated else thing}
    fields.pop("request_id", None)
    return fields


def _assert_it_exists(method: str, field: Any, world: World) -> None:
    """Its own space's caller is answered something else: the comparison was worth something."""
    theirs, made_up = (
        [
            world.calls(
                method, _naming(method, world.other, field, thing), key=key_for(method, world.other)
            )
            for thing in named_by(side, kind_of(field))
        ]
        for side in (world.other, world.absent)
    )
    if "UNIMPLEMENTED" not in {each.code for each in theirs}:
        assert theirs != made_up, f"{field.name} of its own space is told like nothing"


@pytest.mark.parametrize("method", FOR_SPACES)
def test_a_token_is_for_its_space_whatever_the_metadata_name(method: str, world: World) -> None:
    """`unify-space` is the admins': to others it changes nothing, be there such a space or not."""
    names = ["", world.other.name, world.other.space_id, world.absent.name, world.absent.space_id]
    answers = {
        name: world.calls(
            method, good(method, world.mine), key=key_for(method, world.mine), space=name
        )
        for name in names
    }

    assert 1 == len(set(answers.values())), answers
    assert answers[""].code in {"OK", "UNIMPLEMENTED"}
    assert not [mark for mark in world.other.marks if answers[""].says(mark)]


@pytest.mark.parametrize("method", METHODS)
def test_a_credential_that_does_not_hold_says_nothing_else(method: str, world: World) -> None:
    """Expired, revoked, unknown or none: one answer, whatever is asked."""
    expired = world.mine.dead_keys["expired token"]
    eventually(
        lambda: "UNAUTHENTICATED" == world.calls("SpaceService/GetRules", key=expired).code,
        "the token has expired",
    )
    answers = {
        world.calls(method, fields, key=key, space=space)
        for key in world.mine.dead_keys.values()
        for fields in ({}, good(method, world.mine), good(method, world.absent))
        for space in ("", world.mine.name, world.absent.name)
    }

    (answer,) = answers
    assert ("UNAUTHENTICATED", "CREDENTIAL_INVALID") == (answer.code, answer.reason)


@pytest.mark.parametrize("method", METHODS)
def test_a_credential_of_the_wrong_kind_says_nothing_else(method: str, world: World) -> None:
    """A write key that reads, a token that ingests or lacks the scope: one answer, whatever is
    asked about whichever space.
    """
    kinds = keys_by_kind(world.mine)
    may = MAY_CALL[RECIPES[method].needs]
    wrong = {kind: key for kind, key in kinds.items() if kind not in may and kind != "all"}
    if RECIPES[method].needs == "admin":
        wrong["all"] = kinds["all"]
    assert wrong
    answers: set[Answer] = set()
    for kind, key in wrong.items():
        spaces = ["", world.mine.name] if kind == "admin" else ["", world.other.name, "never was"]
        answers.update(
            world.calls(method, fields, key=key, space=space)
            for fields in _questions(method, world)
            for space in spaces
        )

    (answer,) = answers
    assert ("PERMISSION_DENIED", "SCOPE_MISSING") == (answer.code, answer.reason)


def _questions(method: str, world: World) -> list[dict[str, Any]]:
    """Returns requests about nothing, the caller's own space, another's, and none."""
    return [{}, *(good(method, side) for side in (world.mine, world.other, world.absent))]


@pytest.mark.parametrize("method", FOR_SPACES)
def test_a_credential_of_the_right_kind_is_let_in(method: str, world: World) -> None:
    """The refusals before this had no other cause; admins are let in by the tests of spaces."""
    keys = keys_by_kind(world.mine)
    for kind in MAY_CALL[RECIPES[method].needs]:
        space = world.mine.name if kind == "admin" else ""
        answer = world.calls(method, good(method, world.mine), key=keys[kind], space=space)
        assert answer.code in {"OK", "UNIMPLEMENTED"}, (kind, answer)


def test_an_admin_names_the_space_that_is_read(world: World) -> None:
    """Without a space, and with one that never was, an admin token reads nothing."""
    method = "ProfileService/GetProfile"
    unnamed = world.calls(method, {"name": USER}, key=ADMIN_TOKEN)
    absent = world.calls(method, {"name": USER}, key=ADMIN_TOKEN, space=world.absent.name)

    assert ("INVALID_ARGUMENT", ["unify-space"]) == (unnamed.code, unnamed.fields)
    assert ("NOT_FOUND", "SPACE_NOT_FOUND") == (absent.code, absent.reason)
