"""The tables and statements of the yardstick `postgres`: the best that we know for this work.

An identifier names its profile itself, so that resolving is one probe of one index and known
traffic changes no row but its new events. A merge moves the identifiers of the younger profiles
and leaves a redirect. Ids are handed out in blocks, as object-relational mappers do. One unique
index on events tells repeated messages and finds a profile's events. No foreign keys: they would
probe an index once more for each event.
"""

from __future__ import annotations

from typing import Final

ID_BLOCK: Final = 10_000

SCHEMA: Final = f"""
CREATE SEQUENCE ids INCREMENT BY {ID_BLOCK};
CREATE TABLE identifiers (
    key bytea NOT NULL,
    id bigint NOT NULL,
    profile bigint NOT NULL,
    type text NOT NULL,
    value text NOT NULL
);
CREATE UNIQUE INDEX identifiers_by_key ON identifiers (key);
CREATE INDEX identifiers_by_profile ON identifiers (profile);
CREATE TABLE profiles (
    id bigint PRIMARY KEY,
    created_us bigint NOT NULL
);
CREATE TABLE redirects (
    profile bigint PRIMARY KEY,
    survivor bigint NOT NULL
);
CREATE TABLE events (
    anchor bigint NOT NULL,
    message bigint NOT NULL,
    time_us bigint NOT NULL,
    stamp_us bigint NOT NULL,
    source integer NOT NULL,
    type smallint NOT NULL,
    body bytea NOT NULL
);
CREATE UNIQUE INDEX events_by_message ON events (anchor, message);
"""
"""A profile's id is that of the identifier that founded it; `message` is the message id's
fingerprint, keyed, of 64 bits."""

EVENTS_BY_TIME: Final = "CREATE INDEX events_by_time ON events (anchor, time_us)"
"""For a page of a profile's newest events."""

EVENT_COLUMNS: Final = ("anchor", "message", "time_us", "stamp_us", "source", "type", "body")
"""In which events are copied in."""

SESSION: Final = {
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""The tables begin empty, and statements are planned once: as is right for full tables, each
key by a probe of its index."""

FIND_IDENTIFIERS: Final = "SELECT key, id, profile FROM identifiers WHERE key = ANY ($1::bytea[])"

FIND_MESSAGES: Final = """
SELECT anchor, message
FROM unnest($1::bigint[], $2::bigint[]) AS asked (anchor, message)
JOIN events USING (anchor, message)
"""

LINK: Final = """
WITH shown AS (
    INSERT INTO identifiers (key, id, profile, type, value)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[], $5::text[])
), founded AS (
    INSERT INTO profiles (id, created_us)
    SELECT * FROM unnest($6::bigint[], $7::bigint[])
)
SELECT 1
"""
"""New identifiers and new profiles."""

MERGE: Final = """
WITH merged AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS pairs (absorbed, survivor)
), moved AS (
    UPDATE identifiers SET profile = merged.survivor
    FROM merged WHERE identifiers.profile = merged.absorbed
), redirected AS (
    INSERT INTO redirects (profile, survivor) SELECT absorbed, survivor FROM merged
)
DELETE FROM profiles USING merged WHERE profiles.id = merged.absorbed
"""

READ_PROFILES: Final = """
WITH counted AS (SELECT anchor, count(*) AS events FROM events GROUP BY anchor)
SELECT array_agg(type) AS types, array_agg(value) AS values, sum(coalesce(events, 0)) AS events
FROM identifiers
LEFT JOIN counted ON counted.anchor = identifiers.id
GROUP BY profile
"""
COUNT_PROFILES: Final = "SELECT count(*) FROM profiles"
COUNT_LOST: Final = """
WITH RECURSIVE led (profile, at) AS (
    SELECT profile, survivor FROM redirects
    UNION ALL
    SELECT led.profile, redirects.survivor FROM led JOIN redirects ON redirects.profile = led.at
)
SELECT (SELECT count(*) FROM redirects)
    - (SELECT count(DISTINCT led.profile) FROM led JOIN profiles ON profiles.id = led.at)
"""
"""Absorbed profiles whose redirects lead to none that is there."""
