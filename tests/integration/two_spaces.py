"""Two spaces that were sent the same events, and all that a caller could know of either."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.integration.service import ADMIN_TOKEN

if TYPE_CHECKING:
    from tests.integration.raw_calls import Answer, RawCalls

USER: Final = {"identifier": {"type": "user_id", "value": "u"}}
EMAIL: Final = {"identifier": {"type": "email", "value": "u@example.com"}}
SPARE: Final = {"type": "email", "value": "spare@example.com"}
"""On the profile too; the one that is deleted."""
SCOPES: Final = {"read": 1, "pii": 2, "delete": 3, "rules": 4}
SAME_EVENTS: Final[list[dict[str, Any]]] = [
    {
        "type": "identify",
        "user_id": "u",
        "anonymous_id": "d",
        "traits_json": b'{"email":"u@example.com","plan":"pro"}',
    },
    {"type": "identify", "user_id": "u", "traits_json": b'{"email":"spare@example.com"}'},
    {"type": "track", "name": "Seen", "user_id": "u"},
    {"type": "track", "name": "Seen", "anonymous_id": "d"},
    {"type": "group", "user_id": "u", "group_id": "g1", "traits_json": b'{"seats":5}'},
    {"type": "group", "user_id": "u", "group_id": "g2"},
    {"type": "track", "name": "Seen", "anonymous_id": "merged"},
    {"type": "identify", "user_id": "u", "anonymous_id": "merged"},
    {"type": "identify", "user_id": "u", "anonymous_id": "null"},
    {"type": "identify", "user_id": "u", "anonymous_id": "undefined"},
    {"type": "track", "name": "Seen", "user_id": "v"},
]
WITH_IDS: Final = [{**event, "message_id": f"same-{at}"} for at, event in enumerate(SAME_EVENTS)]


@dataclass
class Side:
    """One of the spaces; or, made up from nothing, none."""

    label: str
    """Stands in every value that only this space has."""
    name: str
    space_id: str
    source_id: str
    access_token_id: str
    spare_source_id: str
    """Revoked, like the next."""
    spare_token_id: str
    rules_version: int
    write_key: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    """By their one scope; `all` has every scope."""
    dead_keys: dict[str, str] = field(default_factory=dict)
    """Keys and tokens that hold no more, by why."""
    segment_ids: dict[str, str] = field(default_factory=dict)
    page_tokens: dict[str, str] = field(default_factory=dict)
    """Of a second page, by method."""
    resume_token: str = ""

    @property
    def own_user(self) -> dict[str, str]:
        """An identifier that no other space has."""
        return {"type": "user_id", "value": f"only-{self.label}"}

    @property
    def blocked(self) -> dict[str, str]:
        """An identifier that this space left out, and no other has."""
        return {"type": "anonymous_id", "value": f"blocked-{self.label}"}

    @property
    def marks(self) -> list[str]:
        """Texts that no answer to another space's callers may hold."""
        ids = [self.space_id, self.source_id, self.access_token_id, self.name, self.label]
        return [*ids, *self.segment_ids.values()]

    @property
    def rules(self) -> bytes:
        """The document in force."""
        return json.dumps(
            {
                "searchable_traits": ["place"],
                "blocked": [
                    {"exact": text} for text in ("null", "undefined", self.blocked["value"])
                ],
            }
        ).encode()

    def events(self) -> list[dict[str, Any]]:
        """The events that both spaces are sent, and then those of this one."""
        place = json.dumps({"place": self.label}).encode()
        return [
            *WITH_IDS,
            {"type": "identify", "user_id": "u", "traits_json": place},
            {"type": "track", "name": self.label, "user_id": "u", "properties_json": place},
            {"type": "group", "user_id": "u", "group_id": "g1", "traits_json": place},
            {"type": "identify", "user_id": "u", "anonymous_id": self.blocked["value"]},
            {"type": "identify", "user_id": self.own_user["value"], "traits_json": place},
        ]


def nowhere() -> Side:
    """Returns a side that has a name for everything, and nothing behind it."""
    digits = "5" * 26
    return Side(
        label="never",
        name="never was",
        space_id="spa_" + "5" * 16,
        source_id="src_" + "5" * 16,
        access_token_id="tok_" + "5" * 16,
        spare_source_id="src_" + "6" * 16,
        spare_token_id="tok_" + "6" * 16,
        rules_version=77,
        segment_ids={
            "user": f"use_0{digits}",
            "other": f"use_1{digits}",
            "merged": f"use_2{digits}",
            "account": f"acc_0{digits}",
        },
        resume_token="5" * 60,
    )


def make_side(calls: RawCalls, label: str, *, rules_version: int) -> Side:
    """Makes a space with all that belongs to it, and sends it its events."""
    mark = f"{label}-{uuid.uuid4().hex}"

    def administer(method: str, **fields: Any) -> Any:
        method = f"SpaceService/{method}"
        return calls.response(method, calls(method, fields, key=ADMIN_TOKEN))

    made = administer("CreateSpace", name=mark)
    name = made.space.name
    spare = administer("CreateSource", space=name, name="spare")
    side = Side(
        label=mark,
        name=name,
        space_id=made.space.space_id,
        source_id=made.source_id,
        access_token_id=made.access_token_id,
        spare_source_id=spare.source.source_id,
        spare_token_id="",
        rules_version=rules_version,
        write_key=made.write_key,
    )
    side.dead_keys = {"unknown": "nobody", "none": "", "revoked key": spare.write_key}
    for scope, number in SCOPES.items():
        token = administer("CreateAccessToken", space=name, name=scope, scopes=[number])
        side.tokens[scope] = token.secret
    token = administer("CreateAccessToken", space=name, name="all", scopes=SCOPES.values())
    side.tokens["all"] = token.secret
    token = administer("CreateAccessToken", space=name, name="spare")
    side.spare_token_id, side.dead_keys["revoked token"] = (
        token.access_token.access_token_id,
        token.secret,
    )
    end = {"seconds": int(time.time()) + 2}
    token = administer("CreateAccessToken", space=name, name="short", expire_time=end)
    side.dead_keys["expired token"] = token.secret
    administer("RevokeWriteKey", space=name, source_id=side.spare_source_id)
    administer("RevokeAccessToken", space=name, access_token_id=side.spare_token_id)
    for _ in range(rules_version - 1):
        administer("SetRules", space=name, rules_json=side.rules)
    _fill(calls, side)
    return side


def _fill(calls: RawCalls, side: Side) -> None:
    """Sends a side its events, and notes what they were answered."""
    tail = calls("OperationsService/TailEvents", key=side.tokens["all"])
    side.resume_token = calls.response("OperationsService/TailEvents", tail).resume_token
    results = [ingest(calls, side, event) for event in side.events()]
    assert {1} == {result.status for result in results}, results
    side.segment_ids = {
        "user": results[0].segment_id,
        "merged": results[6].segment_id,
        "other": results[10].segment_id,
        "account": results[4].account_segment_id,
    }


def ingest(calls: RawCalls, side: Side, event: dict[str, Any]) -> Any:
    """Sends one event with a side's key, and returns its result."""
    method = "IngestService/Ingest"
    answer: Answer = calls(method, {"events": [event]}, key=side.write_key)
    return calls.response(method, answer).results[0]
