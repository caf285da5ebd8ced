"""For every method a good request about one side, and what in requests could name another's.

A method or a field that is not said here fails the tests that go through all of them, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tests.integration.raw_calls import METHODS
from tests.integration.two_spaces import EMAIL, SPARE, USER, WITH_IDS, Side

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.descriptor import FieldDescriptor

DELETION: Final = "6f1c86a5-5b7a-4e1c-9a55-0d3c5a3f5d10"
NEW_RULES: Final = "b8a0c1de-92a4-4f1d-8f6e-1c5f2f3ad3b7"


class Recipe(NamedTuple):
    """How a method is called well."""

    needs: str
    """`ingest`, `read`, `delete`, `rules` or `admin`."""
    fields: Callable[[Side], dict[str, Any]]
    """Of a request about a side; with a page size of 1 where it lists anything."""


def _paged(side: Side) -> dict[str, Any]:
    del side
    return {"name": USER, "page_size": 1}


def _space(side: Side) -> dict[str, Any]:
    return {"space": side.name}


def _space_paged(side: Side) -> dict[str, Any]:
    return {"space": side.name, "page_size": 1}


RECIPES: Final = {
    "IngestService/Ingest": Recipe("ingest", lambda _: {"events": WITH_IDS[:3]}),
    "IngestService/IngestStream": Recipe("ingest", lambda _: {"events": WITH_IDS[:3]}),
    "ProfileService/GetProfile": Recipe("read", lambda _: {"name": USER}),
    "ProfileService/BatchGetProfiles": Recipe("read", lambda _: {"names": [USER, EMAIL]}),
    "ProfileService/ListTraits": Recipe("read", _paged),
    "ProfileService/ListExternalIds": Recipe("read", _paged),
    "ProfileService/ListEvents": Recipe("read", _paged),
    "ProfileService/ListLinks": Recipe("read", _paged),
    "ProfileService/ListProfiles": Recipe("read", lambda _: {"page_size": 1}),
    "ProfileService/ExplainIdentity": Recipe("read", lambda _: {"first": USER, "second": EMAIL}),
    "ProfileService/DeleteExternalIds": Recipe(
        "delete", lambda _: {"name": USER, "external_ids": [SPARE], "request_id": DELETION}
    ),
    "SpaceService/CreateSpace": Recipe("admin", lambda side: {"name": side.name}),
    "SpaceService/GetSpace": Recipe("admin", _space),
    "SpaceService/ListSpaces": Recipe("admin", lambda _: {"page_size": 1}),
    "SpaceService/GetRules": Recipe("rules", _space),
    "SpaceService/SetRules": Recipe(
        "rules",
        lambda side: {"space": side.name, "rules_json": side.rules, "request_id": NEW_RULES},
    ),
    "SpaceService/RehearseRules": Recipe(
        "rules", lambda side: {"space": side.name, "rules_json": side.rules}
    ),
    "SpaceService/CreateSource": Recipe(
        "admin", lambda side: {"space": side.name, "name": "another"}
    ),
    "SpaceService/ListSources": Recipe("admin", _space_paged),
    "SpaceService/RevokeWriteKey": Recipe(
        "admin", lambda side: {"space": side.name, "source_id": side.spare_source_id}
    ),
    "SpaceService/CreateAccessToken": Recipe(
        "admin", lambda side: {"space": side.name, "name": "another"}
    ),
    "SpaceService/ListAccessTokens": Recipe("admin", _space_paged),
    "SpaceService/RevokeAccessToken": Recipe(
        "admin", lambda side: {"space": side.name, "access_token_id": side.spare_token_id}
    ),
    "SpaceService/ListAuditEntries": Recipe("admin", _space_paged),
    "OperationsService/GetStatus": Recipe("admin", lambda _: {}),
    "OperationsService/ListViolations": Recipe("read", lambda _: {"page_size": 1}),
    "OperationsService/TailEvents": Recipe("read", lambda _: {}),
    "OperationsService/Verify": Recipe("admin", lambda _: {}),
    "OperationsService/CreateBackup": Recipe("admin", lambda _: {"directory": "backup"}),
}
OF_ALL_SPACES: Final = "SpaceService/ListSpaces"
"""Its page tokens are of no single space."""

NAMES_NOTHING: Final = frozenset({
    *("ack", "collection", "differences_max", "directory", "drop_reasons", "end_time"),
    *("exclude", "expected_version", "expire_time", "include", "name", "page_size", "read_mask"),
    *("rejection_reasons", "result_view", "rules_json", "scopes", "sort", "start_time"),
    *("trait_class", "type", "types", "verbose"),
})  # fmt: skip
"""Fields that choose among what is the caller's own, or make something new."""


def kind_of(field: FieldDescriptor) -> str:
    """Returns what a field of a request names: its message type, or itself where it has none."""
    if field.message_type is not None and field.message_type.file.package == "unify.v1":
        return field.message_type.name
    return field.name


def named_by(side: Side, kind: str) -> list[Any]:
    """Returns what a field of a kind can name of a side; as many for every side.

    Raises:
        AssertionError: nobody said what such a field names, nor that it names nothing.
    """
    things: dict[str, Callable[[], list[Any]]] = {
        "ProfileName": lambda: [
            *({"segment_id": side.segment_ids[each]} for each in ("user", "other", "merged")),
            {"segment_id": side.segment_ids["account"]},
            *({"identifier": each} for each in (side.own_user, side.blocked)),
        ],
        "Identifier": lambda: [side.own_user, side.blocked],
        "TraitFilter": lambda: [{"name": "place", "value": side.label}],
        "page_token": lambda: [
            side.page_tokens.get(each, "5" * 60)
            for each in METHODS
            if lists_pages(each) and each != OF_ALL_SPACES
        ],
        "resume_token": lambda: [side.resume_token],
        "space": lambda: [side.name, side.space_id],
        "source_id": lambda: [side.spare_source_id],
        "source_ids": lambda: [side.source_id, side.spare_source_id],
        "access_token_id": lambda: [side.spare_token_id],
        "version": lambda: [side.rules_version],
        "request_id": list,  # dealt with by a test of its own
        "Event": list,  # likewise
    }
    if kind in NAMES_NOTHING:
        return []
    assert kind in things, f"what does a field `{kind}` of a request name?"
    return things[kind]()


def lists_pages(method: str) -> bool:
    """Says whether a method answers in pages."""
    return "page_token" in METHODS[method].request.fields_by_name
