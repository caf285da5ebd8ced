"""Profiles, explanations and tails on the command line."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import Result
from unify_client.tailing import Tail
from unify_client.testing import FakeUnify

from unify_grpc._pb.unify.v1 import operations_service_pb2, profile_pb2, profile_service_pb2

Unify = Callable[..., Result]

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
EVENT = profile_pb2.ProfileEvent(
    type="track",
    name="Order Paid",
    message_id="m2",
    source_id="src_1",
    timestamp=NOON,
    received_time=NOON,
    external_ids=[{"type": "user_id", "id": "u1", "collection": "users"}],
    drops=[{"type": "email", "value": "null", "collection": "users", "reason": 5}],
)
METADATA = profile_pb2.ProfileMetadata(
    created_time=NOON,
    updated_time=NOON,
    first_seen_time=NOON,
    last_seen_time=NOON,
    events_count=3,
    events_count_by_type={"track": 2, "identify": 1},
    merges_count=1,
    external_ids_count=1,
    traits_count=1_002,
)
PROFILE = profile_pb2.Profile(
    segment_id="use_2",
    canonical_segment_id="use_1",
    collection="users",
    metadata=METADATA,
    traits=[
        {"name": "plan", "value_json": b'"pro"', "source_id": "src_1", "message_id": "m1"},
        {"name": "title", "value_json": '"\\u001b[31mred\x9b31m\u202e"'.encode()},
    ],
    external_ids=[
        {"type": "user_id", "id": "u1", "source_id": "src_1", "first_message_id": "m1"},
    ],
)
LINK = profile_pb2.ProfileLink(
    to_collection="accounts",
    segment_id="acc_1",
    external_ids=[{"type": "group_id", "id": "acme"}],
    created_time=NOON,
)


def known(fake: FakeUnify) -> None:
    """Makes the service know one profile."""
    fake.reply("GetProfile", profile_service_pb2.GetProfileResponse(profile=PROFILE))
    fake.reply("ListEvents", profile_service_pb2.ListEventsResponse(events=[EVENT, EVENT]))
    fake.reply("ListLinks", profile_service_pb2.ListLinksResponse(links=[LINK]))


def asked_name(fake: FakeUnify) -> Any:
    """Returns how the profile was named in the first request."""
    return fake.received[0].request.name


def test_a_profile_is_shown_whole(fake: FakeUnify, unify: Unify) -> None:
    """Header, identifiers with their origin, traits, events with what was left out, and links."""
    known(fake)
    text = unify("profile", "user_id:u1").stdout

    assert text.startswith("Profile use_1\n")
    for line in (
        "merged away  use_2",
        "events       3: 1 identify, 2 track",
        "user_id  u1     1970-01-01 00:00:00Z  m1     src_1",
        'plan   "pro"',
        "1000 more traits are not shown.",
        "track 'Order Paid' m2  src_1   user_id:u1   email:null BLOCKED",
        "acc_1    accounts    2026-01-02 12:00:00Z  group_id:acme",
    ):
        assert line in text
    assert "use_1" == fake.received[1].request.name.segment_id


def test_what_events_carry_steers_no_terminal(fake: FakeUnify, unify: Unify) -> None:
    """Escapes of a trait are shown as what they are."""
    known(fake)
    text = unify("profile", "user_id:u1").stdout

    assert not {"\x1b", "\x9b", "\u202e"} & set(text)
    assert "[31mred" in text


def test_a_profile_is_one_document_for_programs(fake: FakeUnify, unify: Unify) -> None:
    """The profile's own fields, and beside them its last events and its links."""
    known(fake)
    shown = json.loads(unify("profile", "use_2", "--json", "--events", "1").stdout)

    assert ("use_2", "use_1") == (shown["segment_id"], shown["canonical_segment_id"])
    assert ["m2"] == [event["message_id"] for event in shown["events"]]
    assert ["acc_1"] == [link["segment_id"] for link in shown["links"]]
    assert "pro" == shown["traits"][0]["value"]
    assert "2026-01-02T12:00:00Z" == shown["metadata"]["created_time"]
    assert "use_2" == asked_name(fake).segment_id


@pytest.mark.parametrize(
    ("arguments", "collection"),
    [
        (("domain:example.com",), "users"),
        (("domain:example.com", "--accounts"), "accounts"),
        (("group_id:acme",), "accounts"),
    ],
)
def test_an_identifier_is_of_users_unless_said_otherwise(
    fake: FakeUnify, unify: Unify, arguments: tuple[str, ...], collection: str
) -> None:
    """`--accounts` says otherwise, and so does a type that names accounts only."""
    known(fake)
    unify("profile", *arguments, "--space", "shop")

    assert collection == asked_name(fake).identifier.collection
    assert "shop" == fake.received[0].metadata["unify-space"]


@pytest.mark.parametrize("command", [("profile",), ("explain", "use_1")])
def test_a_name_that_is_none_is_a_wrong_command_line(
    fake: FakeUnify, unify: Unify, command: tuple[str, ...]
) -> None:
    """The forms that there are stand in the error."""
    wrong = unify(*command, "somebody")

    assert 2 == wrong.exit_code
    assert "type:value" in wrong.stderr
    assert not fake.received


JOINED = profile_service_pb2.ExplainIdentityResponse(
    joined=True,
    first_segment_id="use_1",
    second_segment_id="use_1",
    path=[
        profile_pb2.LinkExplanation(
            from_identifier={"type": "user_id", "value": "u1"},
            to_identifier={"type": "email", "value": "a@example.com"},
            message_id="m1",
            type="identify",
            source_id="src_1",
            timestamp=NOON,
            rules_version=1,
            outcome="OUTCOME_MERGED",
        )
    ],
    history=[
        profile_pb2.ProfileHistoryEntry(
            segment_id=segment_id, canonical_segment_id="use_1", message_id="m1", timestamp=NOON
        )
        for segment_id in ("use_1", "use_2")
    ],
)
APART = profile_service_pb2.ExplainIdentityResponse(
    first_segment_id="use_1",
    second_segment_id="use_2",
    drops=[
        profile_pb2.DropExplanation(
            drop={"type": "user_id", "value": "u2", "reason": "DROP_REASON_LIMIT_EXCEEDED"},
            message_id="m5",
            type="track",
            name="Order Paid",
            timestamp=NOON,
            rules_version=2,
        ),
        profile_pb2.DropExplanation(
            drop={"type": "user_id", "value": "-1", "reason": "DROP_REASON_BLOCKED"},
            rules_version=3,
        ),
    ],
)


def test_one_profile_is_explained_by_its_path(fake: FakeUnify, unify: Unify) -> None:
    """Each step is an event that carried both of its ends; history follows."""
    fake.reply("ExplainIdentity", JOINED)
    text = unify("explain", "user_id:u1", "email:a@example.com").stdout

    assert "user_id:u1 and email:a@example.com are one profile, use_1" in text
    assert "user_id:u1  email:a@example.com  identify m1  src_1" in text
    assert "merged" in text
    assert "use_1    created            m1" in text
    assert "use_2    absorbed by use_1  m1" in text


def test_two_profiles_are_explained_by_what_kept_them_apart(fake: FakeUnify, unify: Unify) -> None:
    """A drop with its reason and event; or that they never met."""
    apart_for_no_reason = profile_service_pb2.ExplainIdentityResponse(
        first_segment_id="use_1", second_segment_id="use_2"
    )
    fake.reply("ExplainIdentity", APART, apart_for_no_reason)
    kept_apart = unify("explain", "user_id:u1", "user_id:u2").stdout
    never_met = unify("explain", "user_id:u1", "user_id:u2").stdout

    assert "user_id:u1 is profile use_1, user_id:u2 is profile use_2" in kept_apart
    assert "user_id:u2  LIMIT_EXCEEDED  track 'Order Paid' m5" in kept_apart
    assert "user_id:-1  BLOCKED         (whatever carries it)" in kept_apart
    assert "no event ever carried identifiers of both" in never_met


def test_an_explanation_is_one_document_for_programs(fake: FakeUnify, unify: Unify) -> None:
    """It says whether they are one, and how."""
    fake.reply("ExplainIdentity", JOINED)
    shown = json.loads(unify("explain", "user_id:u1", "use_1", "--json").stdout)

    assert shown["joined"]
    assert ["m1"] == [step["message_id"] for step in shown["path"]]
    assert "a@example.com" == shown["path"][0]["to_identifier"]["value"]


def tailed(fake: FakeUnify) -> None:
    """Makes the service show two events, and end the tail for good."""
    fake.reply(
        "TailEvents",
        operations_service_pb2.TailEventsResponse(event=EVENT, resume_token="t1"),
        operations_service_pb2.TailEventsResponse(
            event=EVENT, resume_token="t2", segment_id="use_1"
        ),
    )
    fake.fail_next("TailEvents", "PERMISSION_DENIED", reason="SCOPE_MISSING", skip=2)


def test_a_tail_has_a_line_for_each_event(fake: FakeUnify, unify: Unify) -> None:
    """When, whose, what, by which identifiers, and what was left out."""
    tailed(fake)
    ended = unify("tail", "--type", "track", "--source", "src_1", "--resume-token", "t0")
    first, second = ended.stdout.splitlines()

    assert (
        "2026-01-02 12:00:00Z  (link pending)  track 'Order Paid' m2  user_id:u1  "
        "left out: email:null BLOCKED"
    ) == first
    assert "use_1" in second
    assert (1, True) == (ended.exit_code, ended.stderr.startswith("unify: SCOPE_MISSING: "))
    request = fake.received[0].request
    assert (["track"], ["src_1"], "t0") == (
        list(request.types),
        list(request.source_ids),
        request.resume_token,
    )


def test_a_tail_has_a_document_on_each_line_for_programs(fake: FakeUnify, unify: Unify) -> None:
    """Each holds the event, its profile, and where to go on after it."""
    tailed(fake)
    lines = [json.loads(line) for line in unify("tail", "--json").stdout.splitlines()]

    assert [("t1", None), ("t2", "use_1")] == [
        (line["resume_token"], line["segment_id"]) for line in lines
    ]
    assert ["m2", "m2"] == [line["event"]["message_id"] for line in lines]


def test_an_interrupt_is_how_a_tail_ends(
    fake: FakeUnify, unify: Unify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is no failure, and prints none."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    fake.reply("TailEvents", operations_service_pb2.TailEventsResponse(event=EVENT))
    monkeypatch.setattr("actors.commands.tail.print_json_line", interrupt)
    ended = unify("tail", "--json")

    assert (0, "", "") == (ended.exit_code, ended.stdout, ended.stderr)


@pytest.mark.timeout(20)
def test_an_interrupt_ends_a_tail_that_waits_for_the_service(
    fake: FakeUnify, unify: Unify, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the service is away the pause before the next attempt ends at once, too."""
    pausing = threading.Event()

    def pause_s(*_: object) -> float:
        pausing.set()
        return 60.0

    def interrupt() -> None:
        pausing.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    monkeypatch.setattr(Tail, "pause_s", pause_s)
    fake.reply("TailEvents", operations_service_pb2.TailEventsResponse(event=EVENT))
    fake.fail_next("TailEvents", "UNAVAILABLE")
    presser = threading.Thread(target=interrupt, daemon=True)
    presser.start()
    ended = unify("tail", "--json")
    presser.join()

    assert (0, "", "") == (ended.exit_code, ended.stdout, ended.stderr)
    assert 1 == len(fake.received)
