"""Reads and administration by the blocking client, each call answered by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from unify_client import (
    ArgumentInvalid,
    DeadlineExceeded,
    Identifier,
    ProfileNotFound,
    SecretsNotShown,
    ShardOverloaded,
    SortOrder,
)

from tests.unit.client.driving import Driven, Failure, refused
from unify_grpc._pb.unify.v1 import (
    operations_service_pb2,
    profile_pb2,
    profile_service_pb2,
    space_pb2,
    space_service_pb2,
)

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)


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


def created(*, write_key: str) -> space_service_pb2.CreateSpaceResponse:
    """Returns the answer to a creation."""
    return space_service_pb2.CreateSpaceResponse(
        space={"space_id": "spc_1", "name": "shop", "rules_version": 1},
        source_id="src_1",
        write_key=write_key,
        access_token_id="tok_1",
        access_token="t" if write_key else "",
    )


def test_a_space_is_created_with_its_secrets() -> None:
    """Rules go out as JSON with an id for repetitions; secrets stay out of the repr."""
    driven = Driven()
    rules = {"lowercase_email": False}
    space = driven.answer(
        "SpaceService",
        "CreateSpace",
        lambda: driven.client.create_space("shop", rules),
        UNAVAILABLE,
        created(write_key="wk"),
    )

    assert ("spc_1", "wk", "t") == (space.space_id, space.write_key, space.access_token)
    assert "wk" not in repr(space)
    assert b'{"lowercase_email":false}' == driven.taken[0].request.rules_json
    assert 1 == len({taken.request.request_id for taken in driven.taken})


def test_a_space_whose_secrets_were_lost_is_an_error_that_names_it() -> None:
    """The first answer was lost and the second holds no secrets: the caller has to know."""
    driven = Driven()
    with pytest.raises(SecretsNotShown) as raised:
        driven.answer(
            "SpaceService",
            "CreateSpace",
            lambda: driven.client.create_space("shop"),
            UNAVAILABLE,
            created(write_key=""),
        )
    assert "spc_1" == raised.value.space_id


@pytest.mark.parametrize(
    ("service", "method", "call", "reply", "expected"),
    [
        (
            "SpaceService",
            "GetSpace",
            lambda client: client.get_space("shop").space_id,
            space_service_pb2.GetSpaceResponse(space=space_pb2.Space(space_id="spc_1")),
            "spc_1",
        ),
        (
            "SpaceService",
            "ListSpaces",
            lambda client: [space.name for space in client.list_spaces()],
            space_service_pb2.ListSpacesResponse(spaces=[space_pb2.Space(name="shop")]),
            ["shop"],
        ),
        (
            "SpaceService",
            "GetRules",
            lambda client: client.get_rules("shop", version=2).document,
            space_service_pb2.GetRulesResponse(rules=space_pb2.Rules(rules_json=b'{"caps":{}}')),
            {"caps": {}},
        ),
        (
            "OperationsService",
            "GetStatus",
            lambda client: [shard.state for shard in client.get_status().shards],
            operations_service_pb2.GetStatusResponse(
                shards=[operations_service_pb2.ShardStatus(state="SERVING_STATE_FULL")],
                merge_actors=[operations_service_pb2.MergeActorStatus()],
            ),
            ["FULL"],
        ),
    ],
)
def test_administration_reads_are_typed(
    service: str, method: str, call: Any, reply: Any, expected: object
) -> None:
    """Spaces, rules and status come as data of this client."""
    driven = Driven()

    assert expected == driven.answer(service, method, lambda: call(driven.client), reply)
