"""Administration by the blocking client, each call answered by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from unify_client import (
    ArgumentInvalid,
    RulesChanged,
    Scope,
    SecretsNotShown,
    SourceNotFound,
)

from tests.unit.client.driving import Driven, Failure, refused
from unify_grpc._pb.unify.v1 import operations_service_pb2, space_pb2, space_service_pb2

UNAVAILABLE = Failure(grpc.StatusCode.UNAVAILABLE)
DEADLINE = Failure(grpc.StatusCode.DEADLINE_EXCEEDED)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


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
    assert "spc_1" == raised.value.created_id


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


SOURCE = space_pb2.Source(source_id="src_1", name="web", created_time=NOON)
TOKEN = space_pb2.AccessToken(
    access_token_id="tok_1", name="ci", scopes=["SCOPE_READ", "SCOPE_RULES"], created_time=NOON
)
REVOKED = space_pb2.Source(source_id="src_1", created_time=NOON, revoked_time=NOON)
RULES = space_pb2.Rules(
    version=2,
    rules_json=b'{"caps":{}}',
    created_time=NOON,
    author="admin",
    met_types=["phone"],
)


@pytest.mark.parametrize(
    ("method", "call", "reply", "expected"),
    [
        (
            "SetRules",
            lambda client: client.set_rules({"caps": {}}, "shop", expected_version=1).version,
            space_service_pb2.SetRulesResponse(rules=RULES),
            2,
        ),
        (
            "RevokeWriteKey",
            lambda client: client.revoke_write_key("shop", "src_1").revoked_time,
            space_service_pb2.RevokeWriteKeyResponse(source=REVOKED),
            NOON,
        ),
        (
            "RevokeAccessToken",
            lambda client: client.revoke_access_token("shop", "tok_1").scopes,
            space_service_pb2.RevokeAccessTokenResponse(access_token=TOKEN),
            (Scope.READ, Scope.RULES),
        ),
    ],
)
def test_changes_are_repeated_under_one_id(
    method: str, call: Any, reply: Any, expected: object
) -> None:
    """A change whose answer is lost or late is sent again with the same `request_id`."""
    driven = Driven()
    changed = driven.answer(
        "SpaceService", method, lambda: call(driven.client), UNAVAILABLE, DEADLINE, reply
    )

    assert expected == changed
    (request_id,) = {taken.request.request_id for taken in driven.taken}
    assert 36 == len(request_id)


@pytest.mark.parametrize(
    ("method", "call", "reply", "secret"),
    [
        (
            "CreateSource",
            lambda client: client.create_source("shop", "web", request_id="r1"),
            lambda secret: space_service_pb2.CreateSourceResponse(source=SOURCE, write_key=secret),
            lambda created: created.write_key,
        ),
        (
            "CreateAccessToken",
            lambda client: client.create_access_token("shop", "ci", scopes=["read", Scope.RULES],
                                                      expire_time=NOON, request_id="r1"),
            lambda secret: space_service_pb2.CreateAccessTokenResponse(access_token=TOKEN,
                                                                       secret=secret),
            lambda created: created.secret,
        ),
    ],
)  # fmt: skip
def test_secrets_come_once_and_stay_out_of_the_repr(
    method: str, call: Any, reply: Any, secret: Any
) -> None:
    """The first answer has the secret; a repetition without it is an error that names the rest."""
    driven = Driven()
    created = driven.answer("SpaceService", method, lambda: call(driven.client), reply("sesame"))
    assert "sesame" == secret(created)
    assert "sesame" not in repr(created)
    assert "r1" == driven.taken[0].request.request_id

    with pytest.raises(SecretsNotShown, match="_1 was created"):
        driven.answer("SpaceService", method, lambda: call(driven.client), UNAVAILABLE, reply(""))


def test_scopes_and_expiry_of_a_token_go_out() -> None:
    """Scopes are numbers on the wire, whatever their case was; one that is none is refused."""
    driven = Driven()
    reply = space_service_pb2.CreateAccessTokenResponse(access_token=TOKEN, secret="s")
    driven.answer(
        "SpaceService",
        "CreateAccessToken",
        lambda: driven.client.create_access_token(
            "shop", "ci", scopes=["read", "PII"], expire_time=NOON
        ),
        reply,
    )
    request = driven.taken[0].request

    assert [space_pb2.SCOPE_READ, space_pb2.SCOPE_PII] == list(request.scopes)
    assert NOON.timestamp() == request.expire_time.seconds
    with pytest.raises(ArgumentInvalid, match="read, pii, delete or rules"):
        driven.client.create_access_token("shop", "ci", scopes=["write"])


@pytest.mark.parametrize(
    ("method", "call", "reply", "expected"),
    [
        (
            "ListSources",
            lambda client: client.list_sources("shop"),
            space_service_pb2.ListSourcesResponse(sources=[SOURCE, REVOKED]),
            lambda listed: [None, NOON] == [each.revoked_time for each in listed],
        ),
        (
            "ListAccessTokens",
            lambda client: client.list_access_tokens("shop"),
            space_service_pb2.ListAccessTokensResponse(access_tokens=[TOKEN]),
            lambda listed: [("ci", None)] == [(each.name, each.expire_time) for each in listed],
        ),
        (
            "ListAuditEntries",
            lambda client: client.list_audit_entries(start_time=NOON),
            space_service_pb2.ListAuditEntriesResponse(
                audit_entries=[
                    space_pb2.AuditEntry(
                        audit_entry_id="aud_1", action="SetRules", details_json=b'{"version":2}'
                    )
                ]
            ),
            lambda listed: [{"version": 2}] == [each.details for each in listed],
        ),
    ],
)
def test_administration_lists_are_typed(method: str, call: Any, reply: Any, expected: Any) -> None:
    """Sources, tokens and the audit trail come as data of this client, in full pages."""
    driven = Driven()

    assert expected(driven.answer("SpaceService", method, lambda: list(call(driven.client)), reply))
    assert 200 == driven.taken[0].request.page_size


@pytest.mark.parametrize(
    ("code", "error"),
    [(grpc.StatusCode.NOT_FOUND, SourceNotFound), (grpc.StatusCode.ABORTED, RulesChanged)],
)
def test_reasons_of_administration_are_errors_of_their_own(
    code: grpc.StatusCode, error: Any
) -> None:
    """Callers tell them apart by class."""
    driven = Driven()
    with pytest.raises(error):
        driven.answer(
            "SpaceService",
            "RevokeWriteKey",
            lambda: driven.client.revoke_write_key("shop", "src_1"),
            refused(code, error.REASON),
        )
