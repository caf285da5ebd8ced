"""Bad input to reads and administration: each fault named by its field, and nobody else harmed."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.integration.raw_calls import METHODS, Answer, RawCalls
from tests.integration.service import ADMIN_TOKEN
from unify_grpc._pb.unify.v1 import identity_pb2, ingest_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

SENTINEL: Final = "sentinel-8d41c0"
"""Stands in everything bad that is sent here; no log and no refusal may repeat it."""
INVALID: Final = ("INVALID_ARGUMENT", "REQUEST_INVALID")
LONG: Final = SENTINEL + "x" * 100_000
BAD_PAGE: Final = {"page_size": -1, "page_token": SENTINEL}
TOO_EARLY: Final = {"seconds": -(2**62)}
TOO_LATE: Final = {"seconds": 253_402_300_800}
NO_NANOS: Final = {"nanos": -1}
NOBODY: Final = {"identifier": {"collection": SENTINEL, "type": "Bad Type", "value": "a\0b"}}
NOBODY_FIELDS: Final = ("identifier.collection", "identifier.type", "identifier.value")


class Space:
    """A space of its own, and how its methods are called."""

    def __init__(self, calls: RawCalls) -> None:
        self.calls = calls
        self.name = uuid.uuid4().hex
        made = calls.response("SpaceService/CreateSpace", self("CreateSpace", name=self.name))
        self.write_key, self.access_token = made.write_key, made.access_token

    def __call__(self, method: str, **fields: Any) -> Answer:
        """Calls a method, by its name without the service, with the credential it wants."""
        full = next(name for name in METHODS if name.endswith("/" + method))
        if full.startswith("SpaceService"):
            return self.calls(full, fields, key=ADMIN_TOKEN)
        return self.calls(full, fields, key=ADMIN_TOKEN, space=self.name)

    def send(self, **event: Any) -> Any:
        """Sends an event and returns its result."""
        answer = self.calls("IngestService/Ingest", {"events": [event]}, key=self.write_key)
        return self.calls.response("IngestService/Ingest", answer).results[0]

    def set_rules(self, document: object) -> Answer:
        """Sets a document of rules."""
        return self("SetRules", space=self.name, rules_json=json.dumps(document).encode())


@pytest.fixture(scope="module")
def space(service: Service) -> Iterator[Space]:
    """A new space."""
    with RawCalls(service.address) as calls:
        yield Space(calls)


def assert_well(space: Space) -> None:
    """The service goes on: an event is stored and its profile read."""
    person = str(uuid.uuid4())
    assert space.send(type="track", name="Seen", user_id=person).segment_id
    name = {"identifier": {"type": "user_id", "value": person}}
    assert "OK" == space("GetProfile", name=name).code


# -- requests ---------------------------------------------------------------------------------

REFUSED: Final[dict[str, tuple[str, dict[str, Any], list[str]]]] = {
    "traits": (
        "ListTraits",
        {**BAD_PAGE, "include": [SENTINEL] * 201, "trait_class": 9},
        ["include", "name", "page_size", "page_token", "trait_class"],
    ),
    "identifiers": (
        "ListExternalIds",
        {**BAD_PAGE, "include": [SENTINEL] * 201},
        ["include", "name", "page_size", "page_token"],
    ),
    "events": (
        "ListEvents",
        {
            **BAD_PAGE,
            "name": NOBODY,
            "start_time": TOO_EARLY,
            "end_time": NO_NANOS,
            "include": [SENTINEL] * 101,
            "exclude": [SENTINEL] * 101,
            "types": [SENTINEL],
            "sort": 9,
        },
        sorted(
            [
                *(
                    "end_time",
                    "exclude",
                    "include",
                    "page_size",
                    "page_token",
                    "sort",
                    "start_time",
                ),
                *("types", *(f"name.{field}" for field in NOBODY_FIELDS)),
            ]
        ),
    ),
    "links": ("ListLinks", BAD_PAGE, ["name", "page_size", "page_token"]),
    "profiles": (
        "ListProfiles",
        {
            **BAD_PAGE,
            "collection": SENTINEL,
            "read_mask": {"paths": [SENTINEL]},
            "identifier_prefix": {"type": "Bad Type", "value": ""},
        },
        [
            *("collection", "identifier_prefix.type", "identifier_prefix.value", "page_size"),
            *("page_token", "read_mask"),
        ],
    ),
    "profiles by trait": (
        "ListProfiles",
        {"trait": {"name": SENTINEL, "value": LONG}},
        ["trait.name", "trait.value"],
    ),
    "a profile": (
        "GetProfile",
        {"name": NOBODY, "read_mask": {"paths": [SENTINEL]}},
        [*(f"name.{field}" for field in NOBODY_FIELDS), "read_mask"],
    ),
    "a value too long": (
        "GetProfile",
        {"name": {"identifier": {"type": "user_id", "value": LONG}}},
        ["name.identifier.value"],
    ),
    "a type too long": (
        "GetProfile",
        {"name": {"identifier": {"type": "x" * 65, "value": SENTINEL}}},
        ["name.identifier.type"],
    ),
    "several profiles": (
        "BatchGetProfiles",
        {"names": [{"segment_id": SENTINEL}, NOBODY, {}]},
        [*(f"names[1].{field}" for field in NOBODY_FIELDS), "names[2]"],
    ),
    "two names": (
        "ExplainIdentity",
        {"first": NOBODY},
        [*(f"first.{field}" for field in NOBODY_FIELDS), "second"],
    ),
    "a deletion": (
        "DeleteExternalIds",
        {"external_ids": [NOBODY["identifier"]], "request_id": LONG},
        [
            *(f"external_ids[0].{part}" for part in ("collection", "type", "value")),
            *("name", "request_id"),
        ],
    ),
    "violations": (
        "ListViolations",
        {
            **BAD_PAGE,
            "drop_reasons": [99],
            "rejection_reasons": [99],
            "type": LONG,
            "identifier": {"collection": SENTINEL},
            "start_time": TOO_LATE,
            "end_time": NO_NANOS,
        },
        [
            *("drop_reasons", "end_time", "identifier", "identifier.collection", "page_size"),
            *("page_token", "rejection_reasons", "start_time", "type"),
        ],
    ),
    "a tail": (
        "TailEvents",
        {"types": [SENTINEL], "source_ids": [SENTINEL], "resume_token": SENTINEL},
        ["resume_token", "source_ids", "types"],
    ),
    "spaces": ("ListSpaces", BAD_PAGE, ["page_size", "page_token"]),
    "sources": ("ListSources", BAD_PAGE, ["page_size", "space"]),
    "access tokens": ("ListAccessTokens", BAD_PAGE, ["page_size", "space"]),
    "the audit trail": (
        "ListAuditEntries",
        {**BAD_PAGE, "start_time": TOO_LATE, "end_time": NO_NANOS},
        ["end_time", "page_size", "page_token", "start_time"],
    ),
    "a version": ("GetRules", {"version": -1}, ["space", "version"]),
    "a new space": (
        "CreateSpace",
        {"name": LONG, "rules_json": b"[1", "request_id": SENTINEL},
        ["name", "request_id", "rules_json"],
    ),
    "new rules": (
        "SetRules",
        {"rules_json": b"7", "expected_version": -1, "request_id": SENTINEL},
        ["expected_version", "request_id", "rules_json", "space"],
    ),
    "a new source": (
        "CreateSource",
        {"name": SENTINEL + "\n", "request_id": SENTINEL},
        ["name", "request_id", "space"],
    ),
    "a new token": (
        "CreateAccessToken",
        {"name": "", "scopes": [1, 99], "expire_time": TOO_LATE, "request_id": SENTINEL},
        ["expire_time", "name", "request_id", "scopes[1]", "space"],
    ),
    "a key to revoke": (
        "RevokeWriteKey",
        {"request_id": SENTINEL},
        ["request_id", "source_id", "space"],
    ),
    "a token to revoke": (
        "RevokeAccessToken",
        {"request_id": SENTINEL},
        ["access_token_id", "request_id", "space"],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_all_fields_at_fault_are_named_at_once(what: str, space: Space) -> None:
    """A request with several faults is told each of them by its field, and no value comes back."""
    method, fields, faulty = REFUSED[what]
    answer = space(method, **fields)

    assert INVALID == (answer.code, answer.reason)
    assert faulty == sorted(answer.fields)
    assert not answer.says(SENTINEL)


@pytest.mark.parametrize(
    "method", ["ListSources", "ListAccessTokens", "ListAuditEntries", "ListSpaces"]
)
@pytest.mark.parametrize("token", [SENTINEL, "é", "=", "A" * 70_000, "AAAA"])
def test_a_page_token_that_is_none_is_refused(method: str, token: str, space: Space) -> None:
    """Whatever stands in its place: not base64, not ASCII, too long, too short."""
    named = {} if method == "ListSpaces" else {"space": space.name}
    answer = space(method, page_token=token, **named)

    assert (*INVALID, ["page_token"]) == (answer.code, answer.reason, answer.fields)


@pytest.mark.parametrize("name", ["never was", LONG, "\0", "\u202e", "%s%n"])
def test_a_space_that_is_none_is_not_found(name: str, space: Space) -> None:
    """However it is spelled, and its name is not repeated."""
    for method in ("GetSpace", "GetRules", "ListSources", "ListAuditEntries"):
        answer = space(method, space=name)
        assert ("NOT_FOUND", "SPACE_NOT_FOUND") == (answer.code, answer.reason)
        assert not answer.says(name)


@pytest.mark.parametrize("segment_id", ["x", LONG, "use_" + "z" * 27, "use_" + "é" * 27])
def test_a_segment_id_that_cannot_be_one_is_not_found(segment_id: str, space: Space) -> None:
    """It is told like one that was never given out."""
    never = space("GetProfile", name={"segment_id": "use_" + "0" * 27})
    answer = space("GetProfile", name={"segment_id": segment_id})

    assert never == answer
    assert ("NOT_FOUND", "PROFILE_NOT_FOUND") == (answer.code, answer.reason)


def test_a_token_ends_in_the_future_we_can_count(space: Space) -> None:
    """The last moment there is will do; the moment after is none, and the past is over."""
    codes = [
        space("CreateAccessToken", space=space.name, name="t", expire_time={"seconds": end}).code
        for end in (253_402_300_799, 253_402_300_800, 0, -62_135_596_801)
    ]
    assert ["OK", *["INVALID_ARGUMENT"] * 3] == codes


# -- rules ------------------------------------------------------------------------------------


def test_faults_of_all_kinds_are_told_by_their_paths(space: Space) -> None:
    """Unknown keys at every depth, numbers out of range, patterns that RE2 does not take."""
    answer = space.set_rules(
        {
            "identifiers": [
                {"type": "user_id", "limit": -1, "window": "fortnightly", "colour": 1},
                {"type": "Bad Type"},
                {"type": "email", "blocked": [{"pattern": "^(?=x)"}, {"pattern": "(.)\\1"}, {}]},
                {"type": "email"},
                {"type": "group_id", "custom": True},
            ],
            "others": {"limit": 1.5, "max": 3},
            "caps": {"identifiers": 0, "merges": True},
            "blocked": [{"exact": SENTINEL * 40}, {"exact": "a", "pattern": "b"}],
            "alias_links": ["user_id"],
            "lowercase_email": "yes",
            "searchable_traits": ["name", "name", ""],
            "colours": {},
        }
    )

    assert INVALID == (answer.code, answer.reason)
    assert [
        *("alias_links", "blocked[0].exact", "blocked[1]", "caps.identifiers", "caps.merges"),
        *("colours", "identifiers[0].colour", "identifiers[0].limit", "identifiers[0].window"),
        *("identifiers[1].type", "identifiers[2].blocked[0].pattern"),
        *("identifiers[2].blocked[1].pattern", "identifiers[2].blocked[2]"),
        *("identifiers[3].type",),
        *("identifiers[4].custom", "lowercase_email", "others.limit", "others.max"),
        *("searchable_traits[1]", "searchable_traits[2]"),
    ] == sorted(field.removeprefix("rules_json.") for field in answer.fields)
    assert not answer.says(SENTINEL)


@pytest.mark.parametrize(
    "document",
    [
        {f"key-{number}": 1 for number in range(20_000)},
        {"k" * 900_000: 1},
        {"日" * 3000 + str(number): 1 for number in range(20)},
        {"identifiers": [{"type": "Bad Type", "limit": -1} for _ in range(200)]},
    ],
)
def test_a_document_full_of_faults_is_answered_all_the_same(document: Any, space: Space) -> None:
    """What is told fits into what callers take, and says how much more there is."""
    answer = space.set_rules(document)

    assert INVALID == (answer.code, answer.reason)
    assert answer.fields or "faults" in answer.text
    if len(document) > 100:
        assert f"{len(document)} faults" in answer.text
        assert answer.says("faults_left_out")


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"others":{"window":NaN}}',
        b'{"others":{"limit":1e400}}',
        b'{"blocked":[{"exact":"\\ud800"}]}',
        b'{"colour":"' + b"x" * 1_100_000 + b'"}',
    ],
)
def test_what_is_no_document_is_refused_whole(text: bytes, space: Space) -> None:
    """Half of one, one too deep, numbers and characters that JSON does not have, a megabyte."""
    answer = space("SetRules", space=space.name, rules_json=text)

    assert (*INVALID, ["rules_json"]) == (answer.code, answer.reason, answer.fields)


def test_the_201st_type_is_refused(space: Space) -> None:
    """Of a document by its field; of an event as that identifier alone, and the event stays."""
    full = Space(space.calls)
    types = [{"type": "user_id"}, *({"type": f"type-{number}"} for number in range(200))]
    refused = full.set_rules({"identifiers": types})
    assert (*INVALID, ["rules_json.identifiers"]) == (refused.code, refused.reason, refused.fields)

    assert "OK" == full.set_rules({"identifiers": types[:200]}).code
    external = {"id": SENTINEL, "type": "another", "collection": "users", "encoding": "none"}
    result = full.send(type="identify", user_id="u", external_ids=[external])
    assert ingest_service_pb2.EVENT_STATUS_STORED == result.status
    assert [("another", identity_pb2.DROP_REASON_INVALID_VALUE)] == [
        (drop.type, drop.reason) for drop in result.drops
    ]
    assert "OK" == full.set_rules({"identifiers": types[:199]}).code
    assert not full.send(type="identify", user_id="u", external_ids=[external]).drops


# -- accounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("group_id", ["", "   ", SENTINEL + "g" * 487, "日" * 501])
@pytest.mark.parametrize("place", ["group_id", "context.groupId", "context of a group"])
def test_a_group_id_has_1_to_500_characters(place: str, group_id: str, space: Space) -> None:
    """Empty, blank or longer: the event alone is refused, wherever the account is named."""
    context = json.dumps({"groupId": group_id}).encode()
    events: dict[str, dict[str, Any]] = {
        "group_id": {"type": "group", "group_id": group_id},
        "context.groupId": {"type": "track", "name": "Seen", "context_json": context},
        "context of a group": {"type": "group", "group_id": "g", "context_json": context},
    }
    result = space.send(user_id="u", **events[place])

    assert identity_pb2.REJECTION_REASON_INVALID_GROUP_ID == result.reason
    assert "group id" in result.reason_text
    assert SENTINEL not in result.reason_text
    assert not result.segment_id


def test_a_group_id_of_500_characters_is_an_account(space: Space) -> None:
    """The bound itself is allowed, and the account is found by it."""
    for group_id in ("g" * 500, "日" * 500):
        context = json.dumps({"groupId": group_id}).encode()
        result = space.send(type="track", name="Seen", user_id="u", context_json=context)
        name = {
            "identifier": {"collection": "accounts", "type": "group_id", "value": group_id},
        }
        found = space.calls.response("ProfileService/GetProfile", space("GetProfile", name=name))
        assert result.account_segment_id == found.profile.segment_id


@pytest.mark.parametrize("value", [[SENTINEL], {"a": SENTINEL}, True, 1.5, "a\0b"])
def test_an_account_that_cannot_be_named_so_is_left_out(value: Any, space: Space) -> None:
    """The event is the person's alone, and says what was dropped."""
    context = json.dumps({"groupId": value}).encode()
    result = space.send(type="track", name="Seen", user_id="u", context_json=context)

    assert ingest_service_pb2.EVENT_STATUS_STORED == result.status
    assert [("accounts", "group_id", identity_pb2.DROP_REASON_INVALID_VALUE)] == [
        (drop.collection, drop.type, drop.reason) for drop in result.drops
    ]
    assert not result.account_segment_id


# -- afterwards -------------------------------------------------------------------------------


def test_nothing_bad_was_logged_and_all_goes_on(service: Service, space: Space) -> None:
    """No log of any part repeats what was sent, nothing failed inside, and events are stored."""
    for method, fields, _ in REFUSED.values():
        space(method, **fields)
    space.set_rules({SENTINEL: 1, "blocked": [{"pattern": f"(?={SENTINEL}"}]})
    space.send(type="group", user_id=SENTINEL, group_id=SENTINEL + "g" * 500)
    space.calls("SpaceService/GetSpace", {"space": SENTINEL}, key=SENTINEL, space=SENTINEL)
    assert_well(space)

    logs = {"service": service.log()}
    logs |= {str(path): path.read_text() for path in service.data_dir.rglob("*.log")}
    assert len(logs) > 5
    assert not [name for name, text in logs.items() if SENTINEL in text]
    assert "rpc_failed" not in logs["service"]
