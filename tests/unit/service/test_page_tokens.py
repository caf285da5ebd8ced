"""A page token is good for its own call and nothing else."""

from __future__ import annotations

import base64
from typing import NamedTuple

import pytest

from unify_grpc._pb.unify.v1.profile_service_pb2 import ListEventsRequest, ListTraitsRequest
from unify_grpc.service.errors import RequestInvalidError
from unify_grpc.service.page_tokens import TOKEN_CHARS_MAX, make_token, read_token, scope_of


class Position(NamedTuple):
    """Where a page of events ends."""

    time_us: int
    message_id: str
    member: bytes


KEY = b"k" * 32
POSITION = Position(1_700_000_000_000_000, "m1", b"\0\xff" * 10)
SCOPE = scope_of("ListEvents", 1, ListEventsRequest(include=["Seen"]))


def test_a_position_comes_back() -> None:
    """What was put into a token is read out of it, and an empty token is no position."""
    token = make_token(KEY, SCOPE, POSITION)

    assert POSITION == read_token(KEY, SCOPE, token, Position)
    assert read_token(KEY, SCOPE, "", Position) is None
    assert token.isascii()
    assert "=" not in token


@pytest.mark.parametrize(
    "scope",
    [
        scope_of("ListEvents", 2, ListEventsRequest(include=["Seen"])),
        scope_of("ListTraits", 1, ListEventsRequest(include=["Seen"])),
        scope_of("ListEvents", 1, ListEventsRequest(include=["Bought"])),
        scope_of("ListEvents", 1, ListTraitsRequest(include=["Seen"])),
    ],
    ids=["another space", "another call", "another filter", "another request"],
)
def test_a_token_of_something_else_is_refused(scope: bytes) -> None:
    """Carried to another space, call or filter, it would show what was not asked for."""
    token = make_token(KEY, scope, POSITION)

    with pytest.raises(RequestInvalidError, match="page_token"):
        read_token(KEY, SCOPE, token, Position)


def test_a_page_may_change_its_size() -> None:
    """The size of a page and the token itself bind nothing."""
    request = ListEventsRequest(include=["Seen"], page_size=50, page_token="earlier")

    assert SCOPE == scope_of("ListEvents", 1, request)


def test_a_token_of_another_key_is_refused() -> None:
    """Nobody makes one up without the deployment's signing key."""
    with pytest.raises(RequestInvalidError):
        read_token(KEY, SCOPE, make_token(b"x" * 32, SCOPE, POSITION), Position)


def test_every_changed_character_is_noticed() -> None:
    """A token is its caller's to keep, not to edit."""
    token = make_token(KEY, SCOPE, POSITION)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(RequestInvalidError):
            read_token(KEY, SCOPE, base64.urlsafe_b64encode(changed).decode(), Position)


@pytest.mark.parametrize(
    "token", ["A", "é", "%%%", "AAAA", "A" * (TOKEN_CHARS_MAX + 4), "\0", "=" * 8]
)
def test_anything_else_is_refused(token: str) -> None:
    """Whatever a caller sends for a token is refused by its field, never an error of ours."""
    with pytest.raises(RequestInvalidError) as refused:
        read_token(KEY, SCOPE, token, Position)
    assert ["page_token"] == [field for field, _ in refused.value.violations]


def test_a_position_of_another_shape_is_refused() -> None:
    """A token that an earlier version signed is refused rather than misread."""
    with pytest.raises(RequestInvalidError):
        read_token(KEY, SCOPE, make_token(KEY, SCOPE, ["old", 1]), Position)
