"""Lists of a space over the wire: its profiles and its violations."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from unify_client import EventStatus, group, identify, track

from tests.integration.spaces import (
    ADMIN,
    OwnSpace,
    Stubs,
    all_profiles,
    all_violations,
    by_user_id,
    connect,
    own_space,
    refusal,
    user_ids,
)
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    operations_service_pb2,
    profile_service_pb2,
    space_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

Listing = profile_service_pb2.ListProfilesRequest
Violations = operations_service_pb2.ListViolationsRequest


@pytest.fixture
def stubs(service: Service) -> Iterator[Stubs]:
    """A channel to it."""
    opened = connect(service)
    yield opened
    opened.channel.close()


@pytest.fixture
def space(stubs: Stubs) -> OwnSpace:
    """A space of the test's own."""
    return own_space(stubs)


def test_profiles_are_got_together(service: Service, stubs: Stubs, space: OwnSpace) -> None:
    """In the order asked for, repetitions each, with the parts asked for; all or none."""
    with space.writer(service) as writer:
        results = writer.ingest([identify(user_id=f"u{at}", traits={"n": at}) for at in range(5)])
    asked = profile_service_pb2.BatchGetProfilesRequest(
        names=[
            *by_user_id("u3", "u1", "u3"),
            identity_pb2.ProfileName(segment_id=results[4].segment_id),
        ]
    )
    asked.read_mask.paths.append("external_ids")
    answer = stubs.profiles.BatchGetProfiles(asked, metadata=space.reading)

    assert ["u3", "u1", "u3", "u4"] == user_ids(answer.profiles)
    assert results[4].segment_id == answer.profiles[3].segment_id
    assert not any(profile.traits for profile in answer.profiles)
    batch = profile_service_pb2.BatchGetProfilesRequest
    get = stubs.profiles.BatchGetProfiles
    missing, many = batch(names=by_user_id("u1", "nobody")), batch(names=by_user_id(*["u1"] * 101))
    assert grpc.StatusCode.NOT_FOUND == refusal(get, missing, metadata=space.reading)
    assert grpc.StatusCode.INVALID_ARGUMENT == refusal(get, many, metadata=space.reading)
    assert grpc.StatusCode.INVALID_ARGUMENT == refusal(get, batch(), metadata=space.reading)


def test_profiles_are_listed(service: Service, stubs: Stubs, space: OwnSpace) -> None:
    """By newest activity, by the beginning of an identifier, and by a trait; none twice."""
    with space.writer(service) as writer:
        for at in range(12):
            name = f"Name {at % 3}"
            writer.ingest(
                [identify(user_id=f"u{at:02}", anonymous_id=f"a{at}", traits={"name": name})]
            )
        writer.ingest([track("Seen", anonymous_id="a4"), group("g1", user_id="u02", traits={})])
    reading = space.reading
    newest = ["u02", "u04"] + [f"u{at:02}" for at in range(11, -1, -1) if at not in {2, 4}]

    for size in (1, 5, 100):
        assert newest == user_ids(all_profiles(stubs, reading, page_size=size))
        prefix = identity_pb2.Identifier(type="user_id", value="u0")
        found = all_profiles(stubs, reading, page_size=size, identifier_prefix=prefix)
        assert [f"u{at:02}" for at in range(10)] == user_ids(found)
        trait = profile_service_pb2.TraitFilter(name="name", value="NAME 1")
        found = all_profiles(stubs, reading, page_size=size, trait=trait)
        assert ["u01", "u04", "u07", "u10"] == sorted(user_ids(found))
    accounts = all_profiles(stubs, reading, collection="accounts")
    assert [["g1"]] == [[each.id for each in account.external_ids] for account in accounts]


def test_lists_refuse_what_they_cannot_answer(stubs: Stubs, space: OwnSpace) -> None:
    """Bad filters, tokens of other lists, and values that the caller may not see."""
    ask, other = stubs.profiles.ListProfiles, own_space(stubs)
    prefix = identity_pb2.Identifier(type="user_id", value="u")
    trait = profile_service_pb2.TraitFilter(name="name", value="x")
    bad = [
        Listing(collection="people"),
        Listing(page_size=-1),
        Listing(page_token="made up"),
        Listing(trait=profile_service_pb2.TraitFilter(name="shoe_size", value="42")),
        Listing(trait=profile_service_pb2.TraitFilter(name="name")),
        Listing(identifier_prefix=identity_pb2.Identifier(type="USER", value="u")),
        Listing(identifier_prefix=identity_pb2.Identifier(type="user_id", value="u" * 257)),
        Listing(identifier_prefix=identity_pb2.Identifier(type="user_id", value=" ")),
        Listing(
            collection="accounts",
            identifier_prefix=identity_pb2.Identifier(
                collection="users", type="user_id", value="u"
            ),
        ),
    ]

    for request in bad:
        assert grpc.StatusCode.INVALID_ARGUMENT == refusal(ask, request, metadata=space.reading)
    for request in (Listing(identifier_prefix=prefix), Listing(trait=trait)):
        assert grpc.StatusCode.PERMISSION_DENIED == refusal(ask, request, metadata=space.masked)
    writing = (("authorization", f"Bearer {space.write_key}"),)
    assert grpc.StatusCode.PERMISSION_DENIED == refusal(ask, Listing(), metadata=writing)
    assert not all_profiles(stubs, other.reading)


def test_who_may_not_see_values_sees_none(service: Service, stubs: Stubs, space: OwnSpace) -> None:
    """Without the scope `pii` every list shows masked values, and the same profiles."""
    with space.writer(service) as writer:
        writer.ingest(
            [
                identify(user_id="hidden-user", traits={"email": "hidden@example.com"}),
                track("Seen", user_id="hidden-user", properties={"email": "[object Object]"}),
                track("Seen", anonymous_id="null", properties={"secret": "hidden"}),
            ]
        )
    masked = all_profiles(stubs, space.masked)
    seen = all_profiles(stubs, space.reading)
    violations = all_violations(stubs, space.masked)

    assert [each.canonical_segment_id for each in seen] == [
        each.canonical_segment_id for each in masked
    ]
    assert "hidden" in str(seen)
    assert "hidden" not in str(masked)
    assert 2 == len(violations)
    for value in ("hidden", "[object", "null"):
        assert value not in str(violations)
    asked = Violations(identifier=identity_pb2.Identifier(type="email", value="x"))
    ask = stubs.operations.ListViolations
    assert grpc.StatusCode.PERMISSION_DENIED == refusal(ask, asked, metadata=space.masked)


def test_violations_hold_every_refusal_and_drop(
    service: Service, stubs: Stubs, space: OwnSpace
) -> None:
    """With the event as it was sent, the reasons, and the profile where it was stored."""
    with space.writer(service) as writer:
        writer.ingest([identify(user_id="u1", anonymous_id="a1", message_id="plain")])
        results = writer.ingest(
            [
                track("Seen", anonymous_id="null", message_id="r1", properties={"a": 1}),
                track("", user_id="u1", message_id="r2"),
                track("Big", user_id="u1", message_id="r3", properties={"a": "x" * 40_000}),
                track("Seen", user_id="u1", message_id="d1", properties={"email": "undefined"}),
            ]
        )
        writer.ingest([identify(user_id="u2", message_id="two")])
        writer.ingest([identify(user_id="u2", anonymous_id="a1", message_id="apart")])
    eventually(
        lambda: "apart" == all_violations(stubs, space.reading)[0].event.message_id,
        "what a link left out is listed",
    )
    found = all_violations(stubs, space.reading, page_size=2)
    by_id = {each.event.message_id: each for each in found}

    assert [EventStatus.REJECTED] * 3 + [EventStatus.STORED] == [each.status for each in results]
    assert {"r1", "r2", "r3", "d1", "apart"} == set(by_id)
    assert len(by_id) == len(found)
    assert "apart" == found[0].event.message_id
    reasons = identity_pb2.RejectionReason
    assert reasons.Value("REJECTION_REASON_NO_IDENTIFIER") == by_id["r1"].reason
    assert ["null"] == [drop.value for drop in by_id["r1"].event.drops]
    assert b'"a"' in by_id["r1"].event.properties_json
    assert not by_id["r1"].segment_id
    assert reasons.Value("REJECTION_REASON_EVENT_TOO_LARGE") == by_id["r3"].reason
    assert ["properties"] == list(by_id["r3"].omitted_parts)
    assert not by_id["d1"].reason
    assert results[3].segment_id == by_id["d1"].segment_id
    assert ["undefined"] == [drop.value for drop in by_id["d1"].event.drops]
    assert ["user_id"] == [each.type for each in by_id["d1"].event.external_ids]
    assert ["a1"] == [drop.value for drop in by_id["apart"].event.drops]
    assert ["u2"] == [each.id for each in by_id["apart"].event.external_ids]
    assert all(1 == each.rules_version for each in found)
    assert all(space.source_id == each.event.source_id for each in found)


def test_violations_are_filtered(service: Service, stubs: Stubs, space: OwnSpace) -> None:
    """By reasons, type, identifier and time, which all have to agree."""
    with space.writer(service) as writer:
        writer.ingest([track("", user_id="u1", message_id="r1")])
        between = time.time_ns()
        writer.ingest(
            [
                track("Seen", user_id="u1", message_id="d1", properties={"email": "NULL"}),
                track("Seen", user_id="u1", anonymous_id="-1", message_id="d2"),
                track("Seen", anonymous_id="-1", message_id="r2"),
            ]
        )

    def listed(**fields: Any) -> list[str]:
        found = all_violations(stubs, space.reading, **fields)
        return sorted(each.event.message_id for each in found)

    blocked = identity_pb2.DROP_REASON_BLOCKED
    middle = Timestamp(seconds=between // 10**9, nanos=between % 10**9)
    assert ["d1", "d2", "r1", "r2"] == listed()
    assert ["d1", "d2", "r2"] == listed(drop_reasons=[blocked])
    assert [] == listed(drop_reasons=[identity_pb2.DROP_REASON_LIMIT_EXCEEDED])
    name = identity_pb2.REJECTION_REASON_MISSING_EVENT_NAME
    assert ["r1"] == listed(rejection_reasons=[name])
    assert ["d1", "d2", "r1", "r2"] == listed(rejection_reasons=[name], drop_reasons=[blocked])
    assert ["d2", "r2"] == listed(type="anonymous_id")
    email = identity_pb2.Identifier(type="email", value=" Null ")
    assert ["d1"] == listed(identifier=email)
    assert ["d1", "d2", "r2"] == listed(start_time=middle)
    assert ["r1"] == listed(end_time=middle)
    unknown: Any = 99
    bad = Violations(drop_reasons=[unknown])
    ask = stubs.operations.ListViolations
    assert grpc.StatusCode.INVALID_ARGUMENT == refusal(ask, bad, metadata=space.reading)


def test_search_finds_what_came_before_its_trait_was_named(
    service: Service, stubs: Stubs, space: OwnSpace
) -> None:
    """A trait that the rules name later finds the profiles that had it already."""
    with space.writer(service) as writer:
        writer.ingest([identify(user_id=f"u{at}", traits={"plan": "Gold"}) for at in range(9)])
    trait = profile_service_pb2.TraitFilter(name="plan", value="gold")
    ask = stubs.profiles.ListProfiles
    assert grpc.StatusCode.INVALID_ARGUMENT == refusal(
        ask, Listing(trait=trait), metadata=space.reading
    )
    stubs.spaces.SetRules(
        space_service_pb2.SetRulesRequest(
            space=space.space_id, rules_json=b'{"searchable_traits": ["plan"]}'
        ),
        metadata=ADMIN,
    )

    eventually(
        lambda: 9 == len(all_profiles(stubs, space.reading, trait=trait)), "search is complete"
    )
