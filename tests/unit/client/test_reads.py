"""Reads by the blocking client, each call answered by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import grpc
import pytest
from unify_client import (
    ArgumentInvalid,
    DeadlineExceeded,
    Identifier,
    ProfileNotFound,
    ShardOverloaded,
    SortOrder,
)

from tests.unit.client.driving import Driven, Failure, refused
from unify_grpc._pb.unify.v1 import (
    profile_pb2,
    profile_service_pb2,
)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("use_3k9", ("segment_id", "use_3k9")),
        ("acc_3k9", ("segment_id", "acc_3k9")),
        ("email:jane@example.com", ("users", "email", "jane@example.com")),
        ("use_case:a:b", ("users", "use_case", "a:b")),
        ("group_id:acme", ("accounts", "group_id", "acme")),
        (Identifier("accounts", "domain", "example.com"), ("accounts", "domain", "example.com")),
    ],
)
def test_a_profile_has_three_forms_of_name(name: str | Identifier, form: tuple[str, ...]) -> None:
    """A segment_id, `type:value` and an Identifier each go out as what they are."""
    driven = Driven()
    reply = profile_service_pb2.GetProfileResponse(profile={"segment_id": "use_1"})
    driven.answer("ProfileService", "GetProfile", lambda: driven.client.get_profile(name), reply)
    sent = driven.taken[0].request.name

    if sent.HasField("segment_id"):
        assert form == ("segment_id", sent.segment_id)
    else:
        assert form == (sent.identifier.collection, sent.identifier.type, sent.identifier.value)


@pytest.mark.parametrize("name", ["jane@example.com", "email:", ":jane", "", "email:\ud800jane"])
def test_what_names_no_profile_is_refused_without_being_repeated(name: str) -> None:
    """A name without a type is the caller's mistake, and its text stays out of the error."""
    with pytest.raises(ArgumentInvalid) as raised:
        Driven().client.get_profile(name)
    assert "jane" not in str(raised.value)


def test_a_profile_comes_with_parsed_values() -> None:
    """Traits hold values, times hold their zone, and parts that were not asked for are absent."""
    driven = Driven()
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    message = profile_pb2.Profile(
        segment_id="use_2",
        canonical_segment_id="use_1",
        collection="users",
        traits=[
            profile_pb2.Trait(name="age", value_json=b"41", source_id="s", updated_time=noon),
            profile_pb2.Trait(name="tags", value_json=b'["a",{"b":null}]'),
        ],
        external_ids=[
            profile_pb2.ProfileExternalId(
                collection="users", type="email", id="jane@example.com", created_time=noon
            )
        ],
    )
    profile = driven.answer(
        "ProfileService",
        "GetProfile",
        lambda: driven.client.get_profile("use_2", parts=["traits", "external_ids"]),
        profile_service_pb2.GetProfileResponse(profile=message),
    )

    assert {"age": 41, "tags": ["a", {"b": None}]} == profile.trait_values()
    assert (noon, None) == tuple(trait.updated_time for trait in profile.traits)
    assert "jane@example.com" == profile.external_ids[0].id
    assert noon == profile.external_ids[0].created_time
    assert profile.metadata is None
    assert ["traits", "external_ids"] == list(driven.taken[0].request.read_mask.paths)


def test_an_absent_profile_is_profile_not_found() -> None:
    """The service's reason becomes an error of its own, and the value is not in its text."""
    driven = Driven()
    absent = refused(grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND")
    with pytest.raises(ProfileNotFound) as raised:
        driven.answer(
            "ProfileService",
            "GetProfile",
            lambda: driven.client.get_profile("email:jane@example.com"),
            absent,
        )
    assert "jane" not in str(raised.value)


def test_a_read_is_not_repeated_after_its_deadline() -> None:
    """What takes too long would take as long again; what is overloaded is asked again."""
    driven = Driven()
    with pytest.raises(DeadlineExceeded):
        driven.answer(
            "ProfileService",
            "GetProfile",
            lambda: driven.client.get_profile("use_1"),
            refused(grpc.StatusCode.RESOURCE_EXHAUSTED, ShardOverloaded.REASON, 0.0),
            Failure(grpc.StatusCode.DEADLINE_EXCEEDED),
        )
    assert 1 == len(driven.clock.pauses_s)


def test_lists_walk_page_after_page() -> None:
    """Each page asks with the token of the one before and the same filters."""
    driven = Driven()
    pages = [
        profile_service_pb2.ListTraitsResponse(
            traits=[profile_pb2.Trait(name=name, value_json=b"1")], next_page_token=token
        )
        for name, token in (("a", "t1"), ("b", "t2"), ("c", ""))
    ]
    traits = driven.answer(
        "ProfileService",
        "ListTraits",
        lambda: list(driven.client.list_traits("use_1", include=["a", "b", "c"], verbose=True)),
        *pages,
    )

    assert ["a", "b", "c"] == [trait.name for trait in traits]
    assert ["", "t1", "t2"] == [taken.request.page_token for taken in driven.taken]
    assert {(200, True, 3)} == {
        (taken.request.page_size, taken.request.verbose, len(taken.request.include))
        for taken in driven.taken
    }


def test_events_are_listed_with_their_filters() -> None:
    """Times, names, kinds and order go out, and payloads come back parsed."""
    driven = Driven()
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    event = profile_pb2.ProfileEvent(
        type="track",
        name="Paid",
        message_id="m1",
        timestamp=noon,
        received_time=noon,
        external_ids=[{"id": "u1", "type": "user_id", "collection": "users"}],
        properties_json=b'{"price":9.5}',
    )
    (listed,) = driven.answer(
        "ProfileService",
        "ListEvents",
        lambda: list(
            driven.client.list_events(
                "use_1", start_time=noon, exclude=["Seen"], types=["track"],
                sort=SortOrder.ASCENDING,
            )
        ),
        profile_service_pb2.ListEventsResponse(events=[event]),
    )  # fmt: skip
    request = driven.taken[0].request

    assert ({"price": 9.5}, {}, noon) == (listed.properties, listed.traits, listed.timestamp)
    assert noon.timestamp() == request.start_time.seconds
    assert not request.HasField("end_time")
    assert (["Seen"], ["track"]) == (list(request.exclude), list(request.types))
    assert profile_service_pb2.SORT_ORDER_ASCENDING == request.sort


def test_identifiers_are_listed() -> None:
    """A page of identifiers is as large as the service allows."""
    driven = Driven()
    (listed,) = driven.answer(
        "ProfileService",
        "ListExternalIds",
        lambda: list(driven.client.list_external_ids("use_1", include=["email"])),
        profile_service_pb2.ListExternalIdsResponse(
            external_ids=[{"collection": "users", "type": "email", "id": "jane@example.com"}]
        ),
    )

    assert ("email", "jane@example.com") == (listed.type, listed.id)
    assert 25 == driven.taken[0].request.page_size
