"""Profiles side by side: batches, lists, links, explanations and deletions, answered by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from unify_client import (
    ArgumentInvalid,
    Drop,
    DropReason,
    Identifier,
    IdentifierNotDeletable,
    Outcome,
    RejectionReason,
)

from tests.unit.client.driving import Driven, Failure, refused
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    operations_service_pb2,
    profile_pb2,
    profile_service_pb2,
)

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def test_several_profiles_come_in_the_order_asked_for() -> None:
    """Names of every form go out together, with one mask for all."""
    driven = Driven()
    profiles = driven.answer(
        "ProfileService",
        "BatchGetProfiles",
        lambda: driven.client.batch_get_profiles(["use_2", "email:a@example.com"], parts=[]),
        profile_service_pb2.BatchGetProfilesResponse(
            profiles=[{"segment_id": "use_2"}, {"segment_id": "use_1"}]
        ),
    )
    request = driven.taken[0].request

    assert ["use_2", "use_1"] == [profile.segment_id for profile in profiles]
    assert ["use_2", ""] == [name.segment_id for name in request.names]
    assert "a@example.com" == request.names[1].identifier.value


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({}, None),
        ({"identifier_prefix": "email:ja"}, ("accounts", "email", "ja")),
        ({"identifier_prefix": Identifier("accounts", "domain", "e")}, ("accounts", "domain", "e")),
        ({"trait": ("plan", "pro")}, ("plan", "pro")),
    ],
)  # fmt: skip
def test_profiles_are_listed_by_one_filter_or_none(options: Any, form: Any) -> None:
    """A text is the beginning of an identifier of the collection that is listed."""
    driven = Driven()
    listed = driven.answer(
        "ProfileService",
        "ListProfiles",
        lambda: list(driven.client.list_profiles("accounts", **options)),
        profile_service_pb2.ListProfilesResponse(profiles=[{"segment_id": "acc_1"}]),
    )
    request = driven.taken[0].request
    prefix, trait = request.identifier_prefix, request.trait
    found = {
        None: None,
        "identifier_prefix": (prefix.collection, prefix.type, prefix.value),
        "trait": (trait.name, trait.value),
    }

    assert ["acc_1"] == [profile.segment_id for profile in listed]
    assert ("accounts", 100) == (request.collection, request.page_size)
    assert form == found[request.WhichOneof("filter")]


def test_two_filters_at_once_are_refused() -> None:
    """The service knows one filter at a time, and nothing is sent."""
    with pytest.raises(ArgumentInvalid, match="not by both"):
        Driven().client.list_profiles(identifier_prefix="email:j", trait=("plan", "pro"))


def test_links_are_listed() -> None:
    """The other side comes with its identifiers, in pages as large as the service allows."""
    driven = Driven()
    (link,) = driven.answer(
        "ProfileService",
        "ListLinks",
        lambda: list(driven.client.list_links("use_1")),
        profile_service_pb2.ListLinksResponse(
            links=[
                profile_pb2.ProfileLink(
                    to_collection="accounts",
                    segment_id="acc_1",
                    external_ids=[{"type": "group_id", "id": "acme", "collection": "accounts"}],
                    created_time=NOON,
                )
            ]
        ),
    )

    assert ("accounts", "acc_1", NOON) == (link.to_collection, link.segment_id, link.created_time)
    assert ["acme"] == [each.id for each in link.external_ids]
    assert 20 == driven.taken[0].request.page_size


def explained(**fields: Any) -> Any:
    """Returns what the client makes of an explanation of the wire."""
    driven = Driven()
    return driven.answer(
        "ProfileService",
        "ExplainIdentity",
        lambda: driven.client.explain_identity("user_id:u1", "email:a@example.com"),
        profile_service_pb2.ExplainIdentityResponse(
            first_segment_id="use_1", second_segment_id="use_1", **fields
        ),
    )


def test_a_path_is_typed() -> None:
    """Each step has two ends, its event and what that did; history has its times."""
    end = identity_pb2.Identifier
    explanation = explained(
        joined=True,
        path=[
            profile_pb2.LinkExplanation(
                from_identifier=end(collection="users", type="user_id", value="u1"),
                to_identifier=end(collection="users", type="email", value="a@example.com"),
                message_id="m1",
                type="identify",
                timestamp=NOON,
                rules_version=3,
                outcome="OUTCOME_MERGED",
            )
        ],
        history=[{"segment_id": "use_2", "canonical_segment_id": "use_1", "timestamp": NOON}],
    )
    (step,) = explanation.path

    assert explanation.joined
    assert Identifier("users", "user_id", "u1") == step.from_identifier
    assert (Outcome.MERGED, 3, NOON) == (step.outcome, step.rules_version, step.timestamp)
    assert ["use_1"] == [entry.canonical_segment_id for entry in explanation.history]


def test_what_kept_two_apart_is_typed() -> None:
    """A drop says what was left out, why, and by which event."""
    explanation = explained(
        drops=[
            profile_pb2.DropExplanation(
                drop={"collection": "users", "type": "user_id", "value": "u1",
                      "reason": "DROP_REASON_LIMIT_EXCEEDED"},
                message_id="m2",
                timestamp=NOON,
            )
        ]
    )  # fmt: skip
    (kept_apart,) = explanation.drops

    assert not explanation.joined
    assert Drop(Identifier("users", "user_id", "u1"), DropReason.LIMIT_EXCEEDED) == kept_apart.drop
    assert "m2" == kept_apart.message_id


@pytest.mark.parametrize(
    ("name", "collection"),
    [("use_1", "users"), ("acc_1", "accounts"), ("group_id:acme", "accounts")],
)
def test_what_is_deleted_is_of_the_profiles_collection(name: str, collection: str) -> None:
    """The deletion carries one id, however often it is sent, late answers included."""
    driven = Driven()
    deleted = driven.answer(
        "ProfileService",
        "DeleteExternalIds",
        lambda: driven.client.delete_external_ids(name, ["email:a@example.com"]),
        Failure(grpc.StatusCode.DEADLINE_EXCEEDED),
        profile_service_pb2.DeleteExternalIdsResponse(
            segment_id="use_1", deleted_external_ids=[{"type": "email", "value": "a@example.com"}]
        ),
    )

    assert ["email:a@example.com"] == [str(each) for each in deleted.external_ids]
    assert {collection} == {taken.request.external_ids[0].collection for taken in driven.taken}
    assert 1 == len({taken.request.request_id for taken in driven.taken})


def test_what_cannot_be_deleted_is_said_without_the_value() -> None:
    """The refusal has a class of its own, and no identifier is in its text."""
    driven = Driven()
    with pytest.raises(IdentifierNotDeletable) as raised:
        driven.answer(
            "ProfileService",
            "DeleteExternalIds",
            lambda: driven.client.delete_external_ids("use_1", ["user_id:jane"]),
            refused(grpc.StatusCode.FAILED_PRECONDITION, "IDENTIFIER_NOT_DELETABLE"),
        )
    assert "jane" not in str(raised.value)


def test_violations_are_listed_with_their_filters() -> None:
    """Reasons, identifier and times go out; a refused event has a reason and no profile."""
    driven = Driven()
    refused_event, dropped = driven.answer(
        "OperationsService",
        "ListViolations",
        lambda: list(
            driven.client.list_violations(
                drop_reasons=[DropReason.BLOCKED],
                rejection_reasons=[RejectionReason.TOO_DEEP],
                identifier="group_id:acme",
                start_time=NOON,
            )
        ),
        operations_service_pb2.ListViolationsResponse(
            violations=[
                {"event": {"message_id": "m1"}, "reason": "REJECTION_REASON_TOO_DEEP"},
                {"event": {"message_id": "m2"}, "segment_id": "use_1", "rules_version": 2},
            ]
        ),
    )
    request = driven.taken[0].request

    assert ([identity_pb2.DROP_REASON_BLOCKED], [identity_pb2.REJECTION_REASON_TOO_DEEP]) == (
        list(request.drop_reasons),
        list(request.rejection_reasons),
    )
    assert ("accounts", "acme") == (request.identifier.collection, request.identifier.value)
    assert (RejectionReason.TOO_DEEP, None) == (refused_event.reason, refused_event.segment_id)
    assert (None, "use_1", 2) == (dropped.reason, dropped.segment_id, dropped.rules_version)


def test_an_event_refused_for_its_json_can_be_listed() -> None:
    """What is there as it was sent and is no object comes as an empty one, beside the others."""
    driven = Driven()
    sent = [b'{"a":1}', b"{bad", b"[1]", b'"\xff"', b"[" * 100_000]
    events = [{"event": {"properties_json": each}, "omitted_parts": ["name"]} for each in sent]
    listed = driven.answer(
        "OperationsService",
        "ListViolations",
        lambda: list(driven.client.list_violations()),
        operations_service_pb2.ListViolationsResponse(violations=events),
    )

    assert [{"a": 1}, {}, {}, {}, {}] == [each.event.properties for each in listed]
    assert {("name",)} == {each.omitted_parts for each in listed}
