"""Whether everything leads where it must: identifiers, and every segment_id ever told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unify_client import Identifier, NotFound, ProfileNotFound

from tests.chaos.holdings import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_client import ProfileNamed, UnifyClient

    from tests.chaos.findings import Findings
    from tests.chaos.holdings import Holdings
    from tests.chaos.ledger import Entry

_BATCH = 100


def check_lookups(
    reader: UnifyClient,
    entries: dict[str, Entry],
    holdings: Holdings,
    deleted: list[str],
    findings: Findings,
) -> None:
    """Looks everything up by name and notes what leads elsewhere than the lists say."""
    wanted: dict[str | Identifier, tuple[str, str]] = {}
    for identifier, leads_to, what in _identifiers(holdings):
        wanted[identifier] = leads_to, what
    for segment_id, leads_to, what in _segment_ids(entries, holdings):
        wanted[segment_id] = leads_to, what
    for name, found in _resolve(reader, list(wanted)):
        leads_to, what = wanted[name]
        if found != leads_to:
            findings.note("a name leads astray", f"{what} to {found}, not {leads_to}")
    for each in deleted:
        try:
            reader.get_profile(each, parts=["metadata"])
        except ProfileNotFound:
            continue
        findings.note("what was deleted is back", "it is found by its identifier")


def _identifiers(holdings: Holdings) -> Iterator[tuple[Identifier, str, str]]:
    for collection in COLLECTIONS:
        for profile in holdings[collection]:
            for each in profile.identifiers:
                type_, _, value = each.partition(":")
                name = Identifier(collection, type_, value)
                yield name, profile.segment_id, f"an identifier ({type_})"


def _segment_ids(entries: dict[str, Entry], holdings: Holdings) -> Iterator[tuple[str, str, str]]:
    """Those that acknowledgements told, which lead to the profile that holds the event now."""
    holders = {
        (collection, event.message_id): profile.segment_id
        for collection in COLLECTIONS
        for profile in holdings[collection]
        for event in profile.events
    }
    for message_id, entry in entries.items():
        told = (("users", entry.segment_id), ("accounts", entry.account_segment_id))
        for collection, segment_id in told:
            holder = holders.get((collection, message_id))
            if segment_id is not None and holder is not None:
                yield segment_id, holder, f"the segment_id of {message_id}"


def _resolve(
    reader: UnifyClient, names: list[ProfileNamed]
) -> Iterator[tuple[ProfileNamed, str | None]]:
    """Yields the canonical segment_id of each name; None where it leads to nobody."""
    for first in range(0, len(names), _BATCH):
        batch = names[first : first + _BATCH]
        try:
            profiles = reader.batch_get_profiles(batch, parts=["metadata"])
        except NotFound:
            for name in batch:
                yield name, _resolve_one(reader, name)
        else:
            for name, profile in zip(batch, profiles, strict=True):
                yield name, profile.canonical_segment_id


def _resolve_one(reader: UnifyClient, name: ProfileNamed) -> str | None:
    try:
        return reader.get_profile(name, parts=["metadata"]).canonical_segment_id
    except ProfileNotFound:
        return None
