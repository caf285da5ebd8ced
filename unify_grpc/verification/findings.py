"""What must hold, by name, and what is said where it does not."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Invariant(StrEnum):
    """What a finding is about. Names are for programs: they stay as they are."""

    CHECKSUMS = "checksums"
    """Every stored value is as it was written."""
    STRUCTURE = "structure"
    """The files of a store are whole."""
    FORMATS = "formats"
    """Every row and record is of a kind that is known, and can be read."""
    WHOLE_LOG = "whole_log"
    """No record of a log is missing, and its tail gives rows."""
    AT_HOME = "at_home"
    """Everything lies at the shard that owns it."""
    EVENT_LISTS = "event_lists"
    """Each stored event is listed once, under its anchor; nothing else is."""
    ONE_EFFECT = "one_effect_per_message"
    """A message took effect once under its anchor."""
    TRAITS = "traits"
    """An identifier shows the last-written of the traits its events set."""
    COUNTS = "counts"
    """What is counted is there."""
    ONE_PROFILE = "one_profile_per_member"
    """Whatever is on a profile is on exactly one."""
    LIVE_PROFILES = "bindings_lead_to_live_profiles"
    """Every binding leads to a profile that lives."""
    PROFILES_EQUAL = "profiles_equal_everywhere"
    """What shards and the merge actor know of profiles is the same, pushes under way aside."""
    LINKS_DECIDED = "links_decided_once"
    """A link is either pending, or decided and cleared, everywhere alike."""
    LINKS_KNOWN = "known_links_are_so"
    """What is taken for known to belong together does."""
    NAMES = "names"
    """Deleted identifiers have moved on, everywhere alike."""
    FOUND_BY = "found_by"
    """Profiles are found by what they hold, and what is found is there."""
    ACCOUNT_LINKS = "account_links"
    """A link between a user and an account shows on both sides."""
    OWED_SIDES = "owed_sides"
    """An event with two sides has both, or is marked as owing one."""
    SPACE_LISTS = "space_lists"
    """Activity and violations of a space are listed as they happened."""
    HISTORY = "history"
    """The journal is numbered without a gap, and what points into it finds what it says."""
    SPACES = "spaces"
    """Spaces, rules and credentials are whole, and known where they are used."""
    AUDIT_TRAIL = "audit_trail"
    """The audit trail has no gap."""


class Found(NamedTuple):
    """One fault as a part tells it."""

    invariant: str
    text: str
    """For people, without values of identifiers or traits."""


def record_name(key: bytes) -> str:
    """Returns how a finding names a log record, by the eight bytes of its number."""
    return f"log record {int.from_bytes(key, 'big')}"


def event_name(key: bytes) -> str:
    """Returns how a finding names an event, by the eight bytes of its position."""
    position = int.from_bytes(key, "big")
    return f"event {position >> 16}.{position & 0xFFFF}"
