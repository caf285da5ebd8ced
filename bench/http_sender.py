"""Sends and reads over HTTP what other scenarios send and read over gRPC."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from urllib.request import urlopen

from bench.conversation import Answered, Sent
from bench.http_writer import write_request
from bench.wrk import Request, send_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.ledger import Name

SPACE: Final = "dev"
TRAITS_PAGE: Final = 20
STABLE: Final = re.compile(rb'"email":"[^"]*"')
"""The trait that no event of a person changes."""
_METRIC: Final = re.compile(r'^unify_http_events_total\{outcome="(\w+)"\} (\d+)', re.MULTILINE)
_REPORTED: Final = frozenset({"duplicate", "rejected"})


def send_batches(address: str, write_key: str, streams: Sequence[list[bytes]]) -> Sent:
    """Sends the batches of all streams, each over a connection of its own.

    What became of events is what the gateway, which has to be the only one, counts meanwhile.
    """
    senders = [[write_request(each) for each in batches] for batches in streams]
    before = _outcomes(address)
    answered = send_all(address, write_key, senders)
    results = {
        f"EVENT_STATUS_{name.upper()}": count - before.get(name, 0)
        for name, count in _outcomes(address).items()
        if name in _REPORTED and count > before.get(name, 0)
    }
    return Sent(answered.seconds, answered.answers_ms, results, calls_count=answered.calls_count)


def send_to_nobody(address: str, streams: Sequence[list[bytes]]) -> Answered:
    """Sends the same to a handler that does nothing."""
    senders = [[write_request(each) for each in batches] for batches in streams]
    return send_all(address, "", senders)


def read_traits(
    address: str,
    access_token: str,
    people: Sequence[tuple[Name, bytes]],
    *,
    callers: int,
    count: int,
    is_empty: bool,
) -> Answered:
    """Reads a page of traits of one after another.

    Args:
        address: of the HTTP side.
        access_token: of the space.
        people: an identifier each, and all traits as JSON.
        callers: that read at once.
        count: of reads, of all of them.
        is_empty: whether they are read from a handler that does nothing.
    """
    requests = [_read_of(*people[each % len(people)], is_empty=is_empty) for each in range(count)]
    return send_all(address, access_token, [requests[each::callers] for each in range(callers)])


def _read_of(name: Name, traits: bytes, *, is_empty: bool) -> Request:
    path = (
        f"/v1/spaces/{SPACE}/collections/users/profiles/{name.type}:{quote(name.value, safe='')}"
        f"/traits?limit={TRAITS_PAGE}"
    )
    email = STABLE.search(traits)
    assert email is not None, "everybody with traits has one"
    return Request("GET", path, "" if is_empty else email[0].decode())


def _outcomes(address: str) -> dict[str, int]:
    with urlopen(f"http://{address}/metrics", timeout=10) as response:
        text = response.read().decode()
    return {name: int(count) for name, count in _METRIC.findall(text)}
