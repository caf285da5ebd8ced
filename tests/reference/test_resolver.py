"""What histories do not reach: the 200 types of a space, deleting an identifier, and the form."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.reference.backend import ReferenceBackend

RESOLVER = Path(__file__).with_name("resolver.py")
RESOLVER_LINES_MAX = 200
DAY_US = 86_400_000_000


def external(*types: str) -> dict[str, Any]:
    """Returns a context with an identifier of each type."""
    return {
        "externalIds": [
            {"id": "1", "type": type_, "collection": "users", "encoding": "none"} for type_ in types
        ]
    }


def track(message_id: str, user: str = "u", **fields: Any) -> dict[str, Any]:
    """Returns a track call of a user."""
    return {
        "type": "track",
        "event": "Seen",
        "messageId": message_id,
        "userId": user,
        "received_at": 1_000,
    } | fields


def space(known: int, **rules: Any) -> ReferenceBackend:
    """Returns a space whose rules name `user_id` and others, `known` types in all."""
    named = ["user_id", *(f"type_{number:03d}" for number in range(known - 1))]
    return ReferenceBackend({"identifiers": [{"type": type_} for type_ in named]} | rules)


class TestTypes:
    def test_the_201st_type_is_invalid(self) -> None:
        """Of two new types where there is room for one, the first is promoted, now and later."""
        backend = space(199)

        first = backend.send(track("m1", context=external("b", "a")))
        again = backend.send(track("m2", context=external("a", "b")))

        assert [("users", "a", "1", "INVALID_VALUE")] == first.drops == again.drops
        assert {frozenset({"user_id:u", "b:1"})} == backend.partition("users")

    def test_a_type_counts_once_it_was_promoted(self) -> None:
        """A refused event, a blocked value and an invalid one make no type known."""
        backend = space(199, blocked=[{"exact": "bad"}])
        blocked = external("b")
        blocked["externalIds"][0]["id"] = "bad"

        backend.send(track("m1", event=None, context=external("a")))
        backend.send(track("m2", context=blocked))

        assert [] == backend.send(track("m3", context=external("c"))).drops
        assert [("users", "a", "1", "INVALID_VALUE")] == backend.send(
            track("m4", context=external("a"))
        ).drops

    def test_a_dropped_identifier_makes_its_type_known(self) -> None:
        """A type is met when it is promoted, whatever resolution makes of the identifier."""
        backend = space(199, others={"limit": 0})

        first = backend.send(track("m1", context=external("a")))
        again = backend.send(track("m2", context=external("b")))

        assert [("users", "a", "1", "LIMIT_EXCEEDED")] == first.drops
        assert [("users", "b", "1", "INVALID_VALUE")] == again.drops

    def test_new_types_can_be_switched_off(self) -> None:
        """Then a type is promoted that the rules name or an event has a place for, no other."""
        backend = space(2, accept_new_types=False)

        result = backend.send(track("m1", anonymousId="a", context=external("type_000", "x")))

        assert [("users", "x", "1", "INVALID_VALUE")] == result.drops
        assert {frozenset({"user_id:u", "anonymous_id:a", "type_000:1"})} == (
            backend.partition("users")
        )


class TestDeletion:
    @pytest.fixture
    def backend(self) -> ReferenceBackend:
        """A person with an e-mail address that also came alone, and set a trait."""
        backend = ReferenceBackend({})
        email = {"email": "a@example.com"}
        backend.send(track("m1", context={"traits": email}))
        backend.send(
            {
                "type": "identify",
                "messageId": "m2",
                "traits": email | {"plan": "pro"},
                "received_at": 2_000,
            }
        )
        return backend

    def test_the_profile_keeps_events_and_traits(self, backend: ReferenceBackend) -> None:
        """What the identifier brought stays, and it is neither listed nor found any more."""
        assert backend.delete("user_id:u", ["email:a@example.com"]) == "deleted"

        assert {frozenset({"user_id:u"})} == backend.partition("users")
        assert backend.segment_id("email:a@example.com") is None
        assert ["m1", "m2"] == backend.events("user_id:u")
        assert {"plan": "pro", "email": "a@example.com"} == backend.traits("user_id:u")

    def test_the_next_sighting_starts_afresh(self, backend: ReferenceBackend) -> None:
        """The value joins somebody else, with nothing of what it was before."""
        backend.delete("user_id:u", ["email:a@example.com"])

        backend.send(track("m3", "v", context={"traits": {"email": "a@example.com"}}))

        assert {frozenset({"user_id:u"}), frozenset({"user_id:v", "email:a@example.com"})} == (
            backend.partition("users")
        )
        assert ["m3"] == backend.events("email:a@example.com")
        assert {} == backend.traits("email:a@example.com")

    def test_a_stored_message_stays_known(self, backend: ReferenceBackend) -> None:
        """The message is known by the value that was its anchor, through all its lives."""
        backend.delete("user_id:u", ["email:a@example.com"])
        event = {"type": "identify", "traits": {"email": "a@example.com"}, "received_at": 3_000}

        assert backend.send(event | {"messageId": "m2"}).status == "DUPLICATE"
        assert backend.send(event | {"messageId": "m3"}).outcome == "CREATED"
        assert backend.send(event | {"messageId": "m2"}).status == "DUPLICATE"

    def test_a_deleted_identifier_counts_no_more(self) -> None:
        """It makes room below a limit."""
        backend = ReferenceBackend({"identifiers": [{"type": "user_id"}], "others": {"limit": 1}})
        backend.send(track("m1", anonymousId="a"))
        backend.delete("user_id:u", ["anonymous_id:a"])

        assert [] == backend.send(track("m2", anonymousId="b")).drops

    @pytest.mark.parametrize(
        ("lookup", "deleted", "code"),
        [
            ("user_id:u", "user_id:u", "looked_up_by"),
            ("email:a@example.com", "user_id:u", "last_user_id"),
            ("email:A@example.com", "email:a@example.com", "looked_up_by"),
            ("user_id:u", "group_id:g", "group_id"),
            ("user_id:u", "user_id:v", "not_on_profile"),
            ("user_id:v", "user_id:u", "no_profile"),
        ],
    )
    def test_what_cannot_be_deleted(
        self, backend: ReferenceBackend, lookup: str, deleted: str, code: str
    ) -> None:
        """A refusal says why, and changes nothing."""
        before = backend.partition("users")

        assert code == backend.delete(lookup, [deleted])
        assert before == backend.partition("users")


def test_a_message_is_forgotten_after_30_days() -> None:
    """The same message is known for the dedupe window, by receipt, and then it is another."""
    backend = ReferenceBackend({})
    backend.send(track("m1"))

    assert backend.send(track("m1", received_at=30 * DAY_US)).status == "DUPLICATE"
    assert backend.send(track("m1", received_at=30 * DAY_US + 1_000)).status == "STORED"


def test_a_group_call_links_user_and_account() -> None:
    """The two profiles are linked, by whatever names they go, and stay two."""
    backend = ReferenceBackend({})
    group = {"type": "group", "groupId": "g", "userId": "u", "received_at": 1_000}
    backend.send(group | {"messageId": "m1"})
    backend.send(track("m2", anonymousId="a", context={"groupId": "h"}))

    user = backend.segment_id("anonymous_id:a")
    assert backend.memberships() == {
        frozenset({user, backend.segment_id("group_id:g", "accounts")}),
        frozenset({user, backend.segment_id("group_id:h", "accounts")}),
    }


def test_the_resolver_stays_small_and_alone() -> None:
    """It fits in 200 lines and imports nothing of the project, so that it can be believed."""
    text = RESOLVER.read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        + [each.name for each in node.names if isinstance(node, ast.Import)]
    }

    assert len(text.splitlines()) <= RESOLVER_LINES_MAX
    assert not imported & {"unify_grpc", "actors", "unify_client", "tests"}
