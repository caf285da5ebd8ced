"""`ExplainIdentity` on the running service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import msgspec
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from unify_client import UnifyClient, identify, track

from tests.integration.service import ADMIN_TOKEN
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
    space_service_pb2,
    space_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

RULES: dict[str, Any] = {
    "identifiers": [{"type": "user_id", "limit": 1}, {"type": "email", "limit": 1}]
}


class Space:
    """A space of its own, and how it is spoken to."""

    def __init__(self, service: Service, name: str) -> None:
        self.service = service
        self.channel = grpc.insecure_channel(service.address)
        with UnifyClient(service.address, key=ADMIN_TOKEN) as admin:
            made = admin.create_space(name, RULES)
        self.write_key, self.access_token = made.write_key, made.access_token
        self.name = name

    def send(self, *events: Any) -> list[Any]:
        """Sends events, each acknowledged before the next."""
        with UnifyClient(self.service.address, key=self.write_key) as client:
            return [result for event in events for result in client.ingest([event])]

    def explain(self, first: str, second: str, key: str = "") -> Any:
        """Explains two names, each `type:value` or a segment_id."""
        stub = profile_service_pb2_grpc.ProfileServiceStub(self.channel)
        request = profile_service_pb2.ExplainIdentityRequest(first=name(first), second=name(second))
        bearer = (("authorization", f"Bearer {key or self.access_token}"),)
        return stub.ExplainIdentity(request, metadata=bearer, timeout=10)

    def administer(self, method: str, request: Any) -> Any:
        """Calls a method of the space service."""
        stub = space_service_pb2_grpc.SpaceServiceStub(self.channel)
        bearer = (("authorization", f"Bearer {ADMIN_TOKEN}"),)
        return getattr(stub, method)(request, metadata=bearer, timeout=30)


def name(text: str) -> Any:
    """A name in a request."""
    type_, colon, value = text.partition(":")
    if not colon:
        return identity_pb2.ProfileName(segment_id=text)
    identifier = identity_pb2.Identifier(type=type_, value=value)
    return identity_pb2.ProfileName(identifier=identifier)


def path_of(answer: Any) -> list[tuple[str, str, str]]:
    """Returns a path as (from, to, message id)."""
    return [
        (
            f"{step.from_identifier.type}:{step.from_identifier.value}",
            f"{step.to_identifier.type}:{step.to_identifier.value}",
            step.message_id,
        )
        for step in answer.path
    ]


def history_of(answer: Any) -> list[tuple[str, str, str]]:
    """Returns a history as (segment_id, canonical segment_id, message id)."""
    return [(row.segment_id, row.canonical_segment_id, row.message_id) for row in answer.history]


def facts_of(refused: grpc.RpcError) -> dict[str, str]:
    """Returns the metadata of a refusal."""
    status = rpc_status.from_call(refused)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    status.details[0].Unpack(info)
    return dict(info.metadata)


@pytest.fixture(scope="module")
def space(service: Service) -> Iterator[Space]:
    """A space with one user_id and one email a profile."""
    made = Space(service, "explained")
    yield made
    made.channel.close()


def test_a_path_over_three_events(space: Space) -> None:
    """Each step is an event that carried both of its ends, told with what it was."""
    space.send(
        identify(user_id="p1", anonymous_id="p-a1", message_id="p-m1"),
        track(
            "Seen", anonymous_id="p-a1", message_id="p-m2", properties={"email": "p@example.com"}
        ),
        identify(anonymous_id="p-a2", traits={"email": "p@example.com"}, message_id="p-m3"),
    )
    answer = space.explain("user_id:p1", "anonymous_id:p-a2")

    assert answer.joined
    assert answer.first_segment_id == answer.second_segment_id
    assert [
        ("user_id:p1", "anonymous_id:p-a1", "p-m1"),
        ("anonymous_id:p-a1", "email:p@example.com", "p-m2"),
        ("email:p@example.com", "anonymous_id:p-a2", "p-m3"),
    ] == path_of(answer)
    assert [("identify", ""), ("track", "Seen"), ("identify", "")] == [
        (step.type, step.name) for step in answer.path
    ]
    assert {1} == {step.rules_version for step in answer.path}
    assert ["OUTCOME_CREATED", "OUTCOME_ATTACHED", "OUTCOME_ATTACHED"] == [
        identity_pb2.Outcome.Name(step.outcome) for step in answer.path
    ]
    assert all(step.source_id and step.timestamp.seconds for step in answer.path)
    assert [] == list(answer.drops)
    assert [] == list(space.explain("user_id:p1", "user_id:p1").path)


def test_kept_apart_by_a_limit(space: Space) -> None:
    """The drop names the event and the reason; what was only ever dropped is unknown and told."""
    space.send(
        identify(user_id="l1", traits={"email": "l1@example.com"}, message_id="l-m1"),
        identify(user_id="l2", anonymous_id="l-a", message_id="l-m2"),
        identify(user_id="l2", traits={"email": "l1@example.com"}, message_id="l-m3"),
        identify(user_id="l1", traits={"email": "l3@example.com"}, message_id="l-m4"),
    )
    answer = space.explain("user_id:l1", "user_id:l2")
    (drop,) = answer.drops

    assert not answer.joined
    assert ("email", "l1@example.com", "DROP_REASON_LIMIT_EXCEEDED", "l-m3", "identify") == (
        drop.drop.type,
        drop.drop.value,
        identity_pb2.DropReason.Name(drop.drop.reason),
        drop.message_id,
        drop.type,
    )
    assert ["l-m1", "l-m2"] == [row.message_id for row in answer.history]
    with pytest.raises(grpc.RpcError) as refused:
        space.explain("user_id:l1", "email:l3@example.com")
    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
    assert {
        "identifier_type": "email",
        "drop_reason": "LIMIT_EXCEEDED",
        "message_id": "l-m4",
    } == facts_of(refused.value)


def test_two_that_never_met(space: Space) -> None:
    """No path and no drop; how each was created."""
    first, second = space.send(
        identify(user_id="n1", message_id="n-m1"),
        identify(user_id="n2", anonymous_id="n-a", message_id="n-m2"),
    )
    answer = space.explain("user_id:n1", "anonymous_id:n-a")

    assert not answer.joined
    assert ([], []) == (list(answer.path), list(answer.drops))
    assert (first.segment_id, second.segment_id) == (
        answer.first_segment_id,
        answer.second_segment_id,
    )
    assert [
        (first.segment_id, first.segment_id, "n-m1"),
        (second.segment_id, second.segment_id, "n-m2"),
    ] == history_of(answer)


def test_merged_twice(space: Space) -> None:
    """An absorbed id has a row again when its survivor is absorbed; old ids are explained too."""
    oldest, middle, newest = (
        each.segment_id
        for each in space.send(
            identify(anonymous_id="h-a1", message_id="h-m1"),
            identify(anonymous_id="h-a2", message_id="h-m2"),
            identify(user_id="h1", message_id="h-m3"),
        )
    )
    space.send(
        identify(user_id="h1", anonymous_id="h-a2", message_id="h-m4"),
        identify(user_id="h1", anonymous_id="h-a1", message_id="h-m5"),
    )
    answer = space.explain(newest, oldest)

    assert answer.joined
    assert oldest == answer.first_segment_id
    assert [("user_id:h1", "anonymous_id:h-a1", "h-m5")] == path_of(answer)
    assert [
        (oldest, oldest, "h-m1"),
        (middle, middle, "h-m2"),
        (newest, newest, "h-m3"),
        (newest, middle, "h-m4"),
        (middle, oldest, "h-m5"),
        (newest, oldest, "h-m5"),
    ] == history_of(answer)


def test_blocked_values(space: Space) -> None:
    """A value that is blocked has no profile, or keeps the one it has apart from now on."""
    space.send(
        identify(user_id="b1", anonymous_id="b-a", message_id="b-m1"),
        identify(user_id="b2", traits={"email": "b@example.com"}, message_id="b-m2"),
    )
    with pytest.raises(grpc.RpcError) as refused:
        space.explain("user_id:b1", "email:undefined")
    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
    assert {"identifier_type": "email", "drop_reason": "BLOCKED"} == facts_of(refused.value)
    document = {
        "identifiers": [
            {"type": "user_id", "limit": 1},
            {"type": "email", "limit": 1, "blocked": [{"exact": "b@example.com"}]},
        ]
    }
    rules = msgspec.json.encode(document)
    space.administer(
        "SetRules", space_service_pb2.SetRulesRequest(space=space.name, rules_json=rules)
    )
    answer = space.explain("user_id:b1", "email:b@example.com")
    (drop,) = answer.drops

    assert not answer.joined
    assert ("b@example.com", "DROP_REASON_BLOCKED", 2, "") == (
        drop.drop.value,
        identity_pb2.DropReason.Name(drop.drop.reason),
        drop.rules_version,
        drop.message_id,
    )


def test_values_are_masked_without_the_scope_pii(space: Space) -> None:
    """Who may not see identifiers is told types and events, and no value."""
    space.send(identify(user_id="masked-1", anonymous_id="masked-2", message_id="m-m1"))
    made = space.administer(
        "CreateAccessToken",
        space_service_pb2.CreateAccessTokenRequest(
            space=space.name, name="blind", scopes=["SCOPE_READ"]
        ),
    )
    answer = space.explain("user_id:masked-1", "anonymous_id:masked-2", key=made.secret)

    assert [("user_id:***", "anonymous_id:***", "m-m1")] == path_of(answer)
    assert b"masked-" not in answer.SerializeToString()


def test_two_spaces_never_meet(service: Service, space: Space) -> None:
    """An id of another space stands for nobody here."""
    other = Space(service, "explained-2")
    (result,) = other.send(identify(user_id="s1", anonymous_id="s-a"))
    space.send(identify(user_id="s1", anonymous_id="s-b"))
    other.channel.close()

    with pytest.raises(grpc.RpcError) as refused:
        space.explain("user_id:s1", result.segment_id)
    assert grpc.StatusCode.NOT_FOUND == refused.value.code()
