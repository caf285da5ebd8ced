"""Administration of spaces on a real service: keys, tokens, rules, types, the audit trail."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from unify_client import (
    DropReason,
    Identifier,
    ProfileNotFound,
    ServiceError,
    identify,
    track,
)

from tests.integration.administering import Administering, Refusal, refusal_of
from tests.integration.service import ADMIN_TOKEN
from tests.integration.waiting import eventually
from unify_grpc._pb.unify.v1 import (
    identity_pb2,
    ingest_service_pb2,
    ingest_service_pb2_grpc,
    space_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

SPACE_NOT_FOUND = Refusal("NOT_FOUND", "SPACE_NOT_FOUND", [])
SOURCE_NOT_FOUND = Refusal("NOT_FOUND", "SOURCE_NOT_FOUND", [])
TOKEN_NOT_FOUND = Refusal("NOT_FOUND", "ACCESS_TOKEN_NOT_FOUND", [])
SCOPE_MISSING = Refusal("PERMISSION_DENIED", "SCOPE_MISSING", [])


@pytest.fixture
def admin(service: Service) -> Iterator[Administering]:
    """Calls with an admin token."""
    with Administering(service.address, ADMIN_TOKEN) as calls:
        yield calls


@pytest.fixture
def space(admin: Administering) -> Any:
    """A new space, as its creation answered."""
    return admin("CreateSpace", name=str(uuid.uuid4()))


def in_seconds(seconds: float) -> Timestamp:
    """A moment, from now."""
    return Timestamp(nanos=0, seconds=int(time.time() + seconds))


def drops(admin: Administering, key: str, **fields: Any) -> list[tuple[str, DropReason]]:
    """Sends an identify; returns (type, reason) of what was left out."""
    with admin.client(key) as client:
        (result,) = client.ingest([identify(**fields)])
    return [(drop.identifier.type, drop.reason) for drop in result.drops]


def test_a_space_is_ready_for_use_in_one_call(admin: Administering, space: Any) -> None:
    """Its key writes and its token reads, at once, and neither does anything else."""
    with admin.client(space.write_key) as writer, admin.client(space.access_token) as reader:
        writer.ingest([identify(user_id="u", traits={"plan": "pro"})])
        profile = reader.get_profile(Identifier("users", "user_id", "u"))
        with pytest.raises(ServiceError) as reading:
            writer.get_profile(Identifier("users", "user_id", "u"))
        with pytest.raises(ServiceError) as writing:
            reader.ingest([track("Seen", user_id="u")])

    assert {"plan": "pro"} == {trait.name: trait.value for trait in profile.traits}
    assert {"PERMISSION_DENIED"} == {reading.value.code, writing.value.code}


def test_a_repeated_creation_shows_no_secrets(admin: Administering) -> None:
    """The first reply comes again, without what may be shown only once."""
    name, request_id = str(uuid.uuid4()), str(uuid.uuid4())
    first = admin("CreateSpace", name=name, request_id=request_id)
    again = admin("CreateSpace", name=name, request_id=request_id)

    assert first.write_key
    assert first.access_token
    assert ("", "") == (again.write_key, again.access_token)
    assert (first.space, first.source_id, first.access_token_id) == (
        again.space,
        again.source_id,
        again.access_token_id,
    )
    assert admin.refusal("CreateSpace", name=name + "!", request_id=request_id) == Refusal(
        "ALREADY_EXISTS", "REQUEST_ID_REUSED", []
    )
    assert admin.refusal("CreateSpace", name=name) == Refusal(
        "ALREADY_EXISTS", "SPACE_NAME_TAKEN", []
    )


@pytest.mark.parametrize("name", ["", "x" * 101, "a/b", "a\nb"])
def test_a_space_without_a_good_name_is_refused(admin: Administering, name: str) -> None:
    """Together with everything else that is wrong."""
    refused = admin.refusal("CreateSpace", name=name, rules_json=b"[]", request_id="no uuid")

    assert refused == Refusal(
        "INVALID_ARGUMENT", "REQUEST_INVALID", ["name", "rules_json", "request_id"]
    )


def test_a_source_has_a_key_of_its_own(admin: Administering, space: Any) -> None:
    """It writes until it is revoked; what it sent stays, and the others go on."""
    name = space.space.name
    request_id = str(uuid.uuid4())
    made = admin("CreateSource", space=name, name="shop", request_id=request_id)
    again = admin("CreateSource", space=name, name="shop", request_id=request_id)
    with admin.client(made.write_key) as writer:
        writer.ingest([identify(user_id="u")])
        revoked = admin("RevokeWriteKey", space=name, source_id=made.source.source_id).source
        with pytest.raises(ServiceError) as refused:
            writer.ingest([identify(user_id="u")])
    drops(admin, space.write_key, user_id="u")
    listed = admin.all_pages("ListSources", "sources", space=name, page_size=1)

    assert (made.source, "") == (again.source, again.write_key)
    assert "UNAUTHENTICATED" == refused.value.code
    assert [space.source_id, made.source.source_id] == [each.source_id for each in listed]
    assert revoked == listed[1]
    assert [False, True] == [each.HasField("revoked_time") for each in listed]
    repeated = admin("RevokeWriteKey", space=name, source_id=made.source.source_id).source
    assert revoked == repeated


def test_an_access_token_does_what_its_scopes_say(admin: Administering, space: Any) -> None:
    """A token with `rules` sets its space's rules, one without does not; none makes tokens."""
    name = space.space.name
    scopes = [space_pb2.SCOPE_RULES, space_pb2.SCOPE_RULES]
    made = admin("CreateAccessToken", space=name, name="tuning", scopes=scopes)
    with Administering(admin.address, made.secret) as tuning:
        rules = tuning.set_rules("", {"caps": {"merges": 3}})
        assert rules == tuning("GetRules", space=name).rules
        assert SCOPE_MISSING == tuning.refusal("ListSources", space=name)
        assert SCOPE_MISSING == tuning.refusal("CreateAccessToken", space=name, name="more")
    with Administering(admin.address, space.access_token) as reading:
        assert SCOPE_MISSING == reading.refusal("GetRules")
        assert SCOPE_MISSING == reading.refusal("SetRules", rules_json=b"{}")

    assert [space_pb2.SCOPE_RULES] == list(made.access_token.scopes)
    assert made.access_token.access_token_id == rules.author


def test_a_token_ends_when_it_is_revoked(admin: Administering, space: Any) -> None:
    """At once on the gateway that revokes it, and for good; the list keeps it."""
    name = space.space.name
    made = admin("CreateAccessToken", space=name, name="report")
    token_id = made.access_token.access_token_id
    with admin.client(made.secret) as reader:
        with pytest.raises(ProfileNotFound):
            reader.get_profile(Identifier("users", "user_id", "u"))
        revoked = admin("RevokeAccessToken", space=name, access_token_id=token_id).access_token
        with pytest.raises(ServiceError) as refused:
            reader.get_profile(Identifier("users", "user_id", "u"))
    listed = admin.all_pages("ListAccessTokens", "access_tokens", space=name, page_size=1)

    assert "UNAUTHENTICATED" == refused.value.code
    assert [space_pb2.SCOPE_READ, space_pb2.SCOPE_PII] == list(made.access_token.scopes)
    assert [space.access_token_id, token_id] == [each.access_token_id for each in listed]
    assert revoked == listed[1]


def test_a_token_ends_when_its_time_has_come(admin: Administering, space: Any) -> None:
    """By itself; one whose time is past already is not made."""
    name = space.space.name
    end = in_seconds(2)
    made = admin("CreateAccessToken", space=name, name="short", expire_time=end)
    with Administering(admin.address, made.secret) as short:
        eventually(
            lambda: short.refusal("GetRules").reason == "CREDENTIAL_INVALID",
            "the token has expired",
        )
    refused = admin.refusal(
        "CreateAccessToken",
        space=name,
        name="",
        scopes=[space_pb2.SCOPE_UNSPECIFIED],
        expire_time=Timestamp(nanos=-1),
    )

    assert end == made.access_token.expire_time
    assert ["name", "scopes[0]", "expire_time"] == refused.fields
    assert ["expire_time"] == admin.refusal(
        "CreateAccessToken", space=name, name="past", expire_time=in_seconds(-2)
    ).fields


def test_a_stream_ends_with_its_key(admin: Administering, space: Any) -> None:
    """Also one that was opened before the key was revoked."""
    with grpc.insecure_channel(admin.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)
        batch = ingest_service_pb2.IngestStreamRequest(events=[identify(user_id="u")])

        def batches() -> Iterator[ingest_service_pb2.IngestStreamRequest]:
            yield batch
            yield batch
            admin("RevokeWriteKey", space=space.space.name, source_id=space.source_id)
            yield batch

        metadata = (("authorization", f"Bearer {space.write_key}"),)
        with pytest.raises(grpc.RpcError) as ended:
            list(stub.IngestStream(batches(), metadata=metadata, timeout=30))

    assert refusal_of(ended.value) == Refusal("UNAUTHENTICATED", "CREDENTIAL_INVALID", [])


def test_a_change_of_rules_acts_on_the_next_event(admin: Administering, space: Any) -> None:
    """Whatever it changes: limits, blocked values, priorities; also in the middle of a stream."""
    name, key = space.space.name, space.write_key
    assert [] == drops(admin, key, user_id="u", traits={"email": "a@example.com"})
    admin.set_rules(name, {"identifiers": [{"type": "user_id"}, {"type": "email", "limit": 1}]})
    assert [("email", DropReason.LIMIT_EXCEEDED)] == drops(
        admin, key, user_id="u", traits={"email": "b@example.com"}
    )
    admin.set_rules(name, {"blocked": [{"pattern": "^test-"}]})
    assert [("email", DropReason.BLOCKED)] == drops(
        admin, key, user_id="u", traits={"email": "test-a@example.com"}
    )

    with grpc.insecure_channel(admin.address) as channel:
        stub = ingest_service_pb2_grpc.IngestServiceStub(channel)

        def batches() -> Iterator[ingest_service_pb2.IngestStreamRequest]:
            for number in range(20):
                if number == 10:
                    admin.set_rules(name, {"blocked": [{"exact": "u"}]})
                yield ingest_service_pb2.IngestStreamRequest(events=[identify(user_id="u")])

        metadata = (("authorization", f"Bearer {key}"),)
        reasons = [
            answer.results[0].reason
            for answer in stub.IngestStream(batches(), metadata=metadata, timeout=30)
        ]
    assert 0 == reasons[0]
    assert [identity_pb2.REJECTION_REASON_NO_IDENTIFIER] * 10 == reasons[10:]


def test_every_fault_of_a_document_is_listed(admin: Administering, space: Any) -> None:
    """Unknown keys, bad limits and patterns that RE2 does not know, all at once."""
    document = {
        "identifiers": [
            {"type": "user_id", "limit": -1},
            {"type": "Bad Type", "windo": "ever"},
            {"type": "email", "blocked": [{"pattern": "^(?=x)"}]},
        ],
        "colour": "green",
    }
    before = admin("GetRules", space=space.space.name).rules
    rules = json.dumps(document).encode()
    refused = admin.refusal("SetRules", space=space.space.name, rules_json=rules)

    assert ("INVALID_ARGUMENT", "REQUEST_INVALID") == (refused.code, refused.reason)
    assert {
        "rules_json.colour",
        "rules_json.identifiers[0].limit",
        "rules_json.identifiers[1].windo",
        "rules_json.identifiers[1].type",
        "rules_json.identifiers[2].blocked[0].pattern",
    } == set(refused.fields)
    assert before == admin("GetRules", space=space.space.name).rules
    assert ["rules_json"] == admin.refusal("SetRules", space=space.space.name).fields


def test_versions_of_rules_are_kept(admin: Administering, space: Any) -> None:
    """Each can be read as it stood, with every default; one that never was cannot."""
    name = space.space.name
    for merges in (2, 3):
        admin.set_rules(name, {"caps": {"merges": merges}})
    versions = [admin("GetRules", space=name, version=number).rules for number in (1, 2, 3)]
    documents = [json.loads(each.rules_json) for each in versions]

    assert [100, 2, 3] == [each["caps"]["merges"] for each in documents]
    assert {1000} == {each["caps"]["identifiers"] for each in documents}
    assert versions[2] == admin("GetRules", space=name).rules
    assert 3 == admin("GetSpace", space=name).space.rules_version
    assert "RULES_VERSION_NOT_FOUND" == admin.refusal("GetRules", space=name, version=4).reason
    assert ["version"] == admin.refusal("GetRules", space=name, version=-1).fields


def test_nobody_overwrites_a_change_unawares(admin: Administering, space: Any) -> None:
    """With `expected_version` the second of two who read the same version is told; a repetition
    of the first is not.
    """
    name, request_id = space.space.name, str(uuid.uuid4())
    fields = {"space": name, "rules_json": b"{}", "expected_version": 1}
    first = admin("SetRules", **fields, request_id=request_id).rules
    again = admin("SetRules", **fields, request_id=request_id).rules

    assert admin.refusal("SetRules", **fields) == Refusal("ABORTED", "RULES_CHANGED", [])
    assert first == again
    assert 2 == admin("GetRules", space=name).rules.version


def test_types_are_met_until_there_are_200(admin: Administering, space: Any) -> None:
    """The table shows them, the 201st is not promoted, and a document leaves room for them."""
    name, key = space.space.name, space.write_key

    def send(*types: str) -> list[tuple[str, DropReason]]:
        external = [
            {"id": "x", "type": type_, "collection": "users", "encoding": "none"} for type_ in types
        ]
        return drops(admin, key, user_id="u", context={"externalIds": external})

    assert [] == send("phone", "fax")
    assert ["fax", "phone"] == list(admin("GetRules", space=name).rules.met_types)
    listed = [{"type": "user_id"}, *({"type": f"type-{number}"} for number in range(197))]
    rules = admin.set_rules(name, {"identifiers": listed})
    assert ["fax", "phone"] == list(rules.met_types)
    assert [("telex", DropReason.INVALID_VALUE)] == send("fax", "telex")
    too_many = json.dumps({"identifiers": [*listed, {"type": "one-more"}]}).encode()
    assert ["rules_json.identifiers"] == admin.refusal(
        "SetRules", space=name, rules_json=too_many
    ).fields
    admin.set_rules(name, {"identifiers": [*listed, {"type": "fax"}]})
    assert ["phone"] == list(admin("GetRules", space=name).rules.met_types)
    assert [] == send("phone", "type-3")


def test_nothing_of_one_space_is_reached_from_another(admin: Administering, space: Any) -> None:
    """Names, ids and keys of another space answer as if they did not exist."""
    other = admin("CreateSpace", name=str(uuid.uuid4()))
    mine, theirs = space.space.name, other.space
    scopes = [space_pb2.SCOPE_RULES]
    made = admin("CreateAccessToken", space=mine, name="tuning", scopes=scopes)
    with Administering(admin.address, made.secret) as tuning:
        for name in (theirs.name, theirs.space_id, "never was"):
            assert SPACE_NOT_FOUND == tuning.refusal("GetRules", space=name)
            assert SPACE_NOT_FOUND == tuning.refusal("SetRules", space=name, rules_json=b"{}")
    assert SOURCE_NOT_FOUND == admin.refusal(
        "RevokeWriteKey", space=mine, source_id=other.source_id
    )
    assert TOKEN_NOT_FOUND == admin.refusal(
        "RevokeAccessToken", space=mine, access_token_id=other.access_token_id
    )
    token = admin("ListAccessTokens", space=mine, page_size=1).next_page_token
    assert ["page_token"] == admin.refusal(
        "ListAccessTokens", space=theirs.name, page_token=token
    ).fields
    with admin.client(other.write_key) as writer:
        writer.ingest([identify(user_id="only-there")])
    with admin.client(space.access_token) as reader, pytest.raises(ServiceError) as refused:
        reader.get_profile(Identifier("users", "user_id", "only-there"))
    assert "NOT_FOUND" == refused.value.code


def test_every_change_is_in_the_audit_trail(admin: Administering, space: Any) -> None:
    """Who did what, the newest first, by space and time, without secrets."""
    name = space.space.name
    source = admin("CreateSource", space=name, name="shop").source
    token = admin("CreateAccessToken", space=name, name="tuning", scopes=[space_pb2.SCOPE_RULES])
    with Administering(admin.address, token.secret) as tuning:
        changed = tuning("SetRules", rules_json=b"{}")
    admin("RevokeWriteKey", space=name, source_id=source.source_id)
    token_id = token.access_token.access_token_id
    admin("RevokeAccessToken", space=name, access_token_id=token_id)
    listed = admin.all_pages("ListAuditEntries", "audit_entries", space=name, page_size=2)
    before, at = listed[2].created_time, listed[1].created_time
    narrowed = admin("ListAuditEntries", space=name, start_time=before, end_time=at)

    assert [
        ("RevokeAccessToken", "admin"),
        ("RevokeWriteKey", "admin"),
        ("SetRules", token_id),
        ("CreateAccessToken", "admin"),
        ("CreateSource", "admin"),
        ("CreateSpace", "admin"),
    ] == [(each.action, each.actor) for each in listed]
    assert {space.space.space_id} == {each.space_id for each in listed}
    assert changed.header.request_id == listed[2].request_id
    assert "tuning" == json.loads(listed[2].details_json)["actor_name"]
    assert [listed[2]] == list(narrowed.audit_entries)
    assert len(listed) < len(admin.all_pages("ListAuditEntries", "audit_entries"))
    for secret in (space.write_key, space.access_token, token.secret):
        assert not [each for each in listed if secret.encode() in each.details_json]


def test_what_is_asked_has_to_be_named(admin: Administering) -> None:
    """Every required field that is missing is listed."""
    missing = {
        method: admin.refusal(method).fields
        for method in (
            *("GetSpace", "ListSources", "ListAccessTokens", "GetRules", "CreateSource"),
            *("RevokeWriteKey", "CreateAccessToken", "RevokeAccessToken"),
        )
    }

    assert {
        "GetSpace": ["space"],
        "ListSources": ["space"],
        "ListAccessTokens": ["space"],
        "GetRules": ["space"],
        "CreateSource": ["space", "name"],
        "RevokeWriteKey": ["space", "source_id"],
        "CreateAccessToken": ["space", "name"],
        "RevokeAccessToken": ["space", "access_token_id"],
    } == missing
