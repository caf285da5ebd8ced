"""What a gateway makes of one event: its sides, their anchors and keys, and what sets traits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.messages import body_of
from unify_grpc.identity.events import from_segment_message
from unify_grpc.identity.identifiers import Identifier, KeyMaker
from unify_grpc.identity.outcomes import DropReason, EventRejected, RejectionReason
from unify_grpc.identity.rules import Rules
from unify_grpc.machines.batch import (
    EVENT_TYPES,
    FLAG_ACCOUNT_SIDE,
    FLAG_CONTEXT_TRAITS,
    FLAG_COUNTERPART,
    FLAG_HISTORY,
    FLAG_TRAITS,
    Batch,
    pack_batch,
    unpack_strings,
)
from unify_grpc.machines.framing import Framed, MarkMaker, SpaceView, frame_event

if TYPE_CHECKING:
    from unify_grpc.machines.batch import Frame
    from unify_grpc.machines.framing import Side

RECEIVED_US = 1_800_000_000_000_000
KEYS = KeyMaker(b"k" * 32)
MARKS = MarkMaker(b"m" * 32)


def framed(message: dict[str, Any], rules: dict[str, Any] | None = None) -> Framed:
    """Frames a message of space 3, source 4, stream 6."""
    event = from_segment_message(message)
    space = SpaceView(3, Rules.from_document(rules or {}, 1), KEYS, MARKS)
    body = body_of(event, message, 1, 0)
    return frame_event(event, body, space=space, source=4, received_us=RECEIVED_US, stream=6)


def opened(side: Side) -> tuple[Batch, Frame]:
    """Returns a side's frame, packed into a batch and read again."""
    batch = Batch(pack_batch(bytes(16), [(3, 1)], [side.frame]))
    return batch, batch.frame(0)


def key(type_: str, value: str, collection: str = "users") -> bytes:
    """Returns an identifier's key."""
    return KEYS.key(Identifier(collection, type_, value))


def message(call: str = "track", **fields: Any) -> dict[str, Any]:
    """Returns a message with a message id."""
    named = {"event": "Seen"} if call == "track" else {}
    return {"type": call, "messageId": "m1", **named, **fields}


def test_an_event_has_one_side_for_its_user() -> None:
    """The identifiers stand in the order of priority, the anchor first, under their keys."""
    (side,) = framed(message(anonymousId="a", userId="u")).sides
    batch, frame = opened(side)

    assert key("user_id", "u") == side.key
    assert [key("user_id", "u"), key("anonymous_id", "a")] == batch.keys(0, 2)
    assert [("user_id", "u"), ("anonymous_id", "a")] == [
        (each.type, each.value) for each in batch.identifiers(0)
    ]
    assert (2, 0) == (frame.key_count, frame.flags)


def test_a_frame_says_who_sent_it_and_when() -> None:
    """Type, space, source, stamp, stream, event time and fingerprint are those of the event."""
    sent = message("page", userId="u", timestamp="2024-01-01T00:00:00Z")
    _, frame = opened(framed(sent).sides[0])

    assert ("page", 3, 4, RECEIVED_US, 6) == (
        EVENT_TYPES[frame.type],
        frame.space,
        frame.source,
        frame.stamp_us,
        frame.stream,
    )
    assert 1_704_067_200_000_000 == frame.time_us == framed(sent).time_us
    assert MARKS.mark("m1") == frame.mark


def test_a_group_call_has_a_side_for_each_collection() -> None:
    """The user's side first; each carries the other's anchor behind its own identifiers."""
    user, account = framed(message("group", userId="u", groupId="g")).sides
    user_batch, user_frame = opened(user)
    account_batch, account_frame = opened(account)
    anchors = [key("user_id", "u"), key("group_id", "g", "accounts")]

    assert FLAG_COUNTERPART == user_frame.flags
    assert FLAG_COUNTERPART | FLAG_ACCOUNT_SIDE == account_frame.flags
    assert (1, 1) == (user_frame.key_count, account_frame.key_count)
    assert anchors == user_batch.keys(0, 2)
    assert anchors[::-1] == account_batch.keys(0, 2)
    assert [("user_id", "u")] == [(i.type, i.value) for i in user_batch.identifiers(0)]


def test_the_counterparts_type_and_value_travel_too() -> None:
    """A link between a user and an account can be shown from either side."""
    (side, _) = framed(message("group", userId="u", groupId="g")).sides
    batch, _ = opened(side)
    start = batch._strings_start(0, batch.frame(0))

    assert [("user_id", "u"), ("group_id", "g")] == unpack_strings(batch.data, start, 2)


def test_a_group_call_without_a_user_is_about_the_account_alone() -> None:
    """It has one side, the account's, and no counterpart."""
    (side,) = framed(message("group", groupId="g")).sides

    assert FLAG_ACCOUNT_SIDE == opened(side)[1].flags


def test_an_account_named_in_passing_has_a_side() -> None:
    """`context.groupId` of another call founds the account's profile and sets no traits of it."""
    sent = message("identify", userId="u", traits={"a": 1}, context={"groupId": "g"})
    user, account = framed(sent).sides

    assert FLAG_COUNTERPART | FLAG_TRAITS == opened(user)[1].flags
    assert FLAG_COUNTERPART | FLAG_ACCOUNT_SIDE == opened(account)[1].flags


@pytest.mark.parametrize(
    ("sent", "flag"),
    [
        (message("identify", userId="u", traits={"a": 1}), FLAG_TRAITS),
        (message("identify", userId="u", context={"traits": {"a": 1}}), FLAG_CONTEXT_TRAITS),
        (
            message("identify", userId="u", traits={"a": 1}, context={"traits": {"b": 1}}),
            FLAG_TRAITS,
        ),
        (message("identify", userId="u"), 0),
        (message("track", userId="u", context={"traits": {"a": 1}}), 0),
        (message("page", userId="u", properties={"a": 1}), 0),
    ],
    ids=["traits", "context", "traits before context", "none", "track", "properties"],
)
def test_what_sets_the_users_traits(sent: dict[str, Any], flag: int) -> None:
    """An identify's traits, or those of its context when it has none of its own; nothing else."""
    assert flag == opened(framed(sent).sides[0])[1].flags


def test_a_group_calls_traits_are_the_accounts() -> None:
    """They describe the company, so they set nothing on its user."""
    user, account = framed(message("group", userId="u", groupId="g", traits={"size": 2})).sides

    assert not opened(user)[1].flags & (FLAG_TRAITS | FLAG_CONTEXT_TRAITS)
    assert opened(account)[1].flags & FLAG_TRAITS


def test_an_alias_is_kept_as_history() -> None:
    """It is stored under its user id alone, joining nothing, unless the space links by alias."""
    sent = message("alias", userId="u", previousId="a")
    (side,) = framed(sent).sides
    batch, frame = opened(side)
    (linked,) = framed(sent, {"alias_links": "anonymous_id"}).sides

    assert (FLAG_HISTORY, 1) == (frame.flags, frame.key_count)
    assert key("user_id", "u") == side.key
    assert [("user_id", "u"), ("anonymous_id", "a")] == [
        (each.type, each.value) for each in opened(linked)[0].identifiers(0)
    ]
    assert not opened(linked)[1].flags & FLAG_HISTORY
    assert "m1" == batch.body(0, frame).message_id


def test_an_event_without_identifiers_has_no_side() -> None:
    """It is refused by whoever asked, with what promotion dropped."""
    nobody = framed(message(userId="  "))
    blocked = framed(message(userId="null"), {"blocked": [{"exact": "null"}]})

    assert () == nobody.sides
    assert [DropReason.INVALID_VALUE] == [each.reason for each in nobody.drops]
    assert () == blocked.sides
    assert [DropReason.BLOCKED] == [each.reason for each in blocked.drops]


def test_a_dropped_value_has_no_key() -> None:
    """A blocked identifier is reported and left out of the frame."""
    kept = framed(message(userId="null", anonymousId="a"), {"blocked": [{"exact": "null"}]})

    assert key("anonymous_id", "a") == kept.sides[0].key
    assert 1 == opened(kept.sides[0])[1].key_count
    assert 1 == len(kept.drops)


def test_an_event_that_may_not_be_is_refused_with_its_reason() -> None:
    """Nothing of it is framed."""
    with pytest.raises(EventRejected) as rejected:
        framed(message(userId="u", event=""))

    assert RejectionReason.MISSING_EVENT_NAME == rejected.value.reason


def test_fingerprints_are_keyed() -> None:
    """Whoever does not know a space's secret cannot choose message ids whose marks meet."""
    assert MARKS.mark("m1") == MarkMaker(b"m" * 32).mark("m1")
    assert MARKS.mark("m1") != MarkMaker(b"n" * 32).mark("m1")
    assert MARKS.mark("m1") != MARKS.mark("m2")
    assert 8 == len(MARKS.mark(""))
