"""What official SDKs sent to a sink once, sent again: they get the answers that they wait for."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.http.tracking_edge import TrackingEdge

if TYPE_CHECKING:
    import httpx

RECORDED = Path(__file__).parent / "recorded"
NAMES = sorted(path.stem for path in RECORDED.glob("*.json"))
#: The client of the tests makes its own.
OWN_HEADERS = {"host", "content-length", "connection", "accept-encoding"}


def requests_of(name: str) -> list[dict[str, Any]]:
    """Returns the requests of a recording, in the order of their arrival."""
    found: list[dict[str, Any]] = json.loads((RECORDED / f"{name}.json").read_text())
    return found


async def sent_again(edge: TrackingEdge, recorded: dict[str, Any]) -> httpx.Response:
    """Sends a recorded request as it was sent then."""
    headers = {k: v for k, v in recorded["headers"].items() if k.lower() not in OWN_HEADERS}
    body = b"" if recorded["body"] is None else json.dumps(recorded["body"]).encode()
    return await edge.client.request(
        recorded["method"],
        recorded["path"],
        content=gzip.compress(body) if recorded["gzip"] else body,
        headers=headers,
    )


def events_of(recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the events of all requests, those sent again too."""
    bodies = [each["body"] for each in recorded if each["body"] is not None]
    return [event for body in bodies for event in body.get("batch", [body])]


@pytest.mark.parametrize("name", NAMES)
async def test_every_recorded_request_is_answered_as_its_sender_expects(name: str) -> None:
    """Settings, preflights and events: 200, and of events the one body that all SDKs know."""
    edge = TrackingEdge()
    recorded = requests_of(name)

    for each in recorded:
        answer = await sent_again(edge, each)

        assert 200 == answer.status_code, answer.text
        if each["method"] == "POST":
            assert {"success": True} == answer.json()
        elif each["method"] == "OPTIONS":
            asked = each["headers"]["access-control-request-headers"].split(",")
            assert set(asked) <= set(answer.headers["access-control-allow-headers"].split(", "))
        else:
            assert "WRITEKEY" == answer.json()["integrations"]["Segment.io"]["apiKey"]
    assert [] == edge.reasons()


@pytest.mark.parametrize("name", NAMES)
async def test_what_was_sent_several_times_is_stored_once(name: str) -> None:
    """Each message id is one event of one profile, whatever the sink answered then."""
    edge = TrackingEdge()
    recorded = requests_of(name)

    for each in recorded:
        await sent_again(edge, each)

    message_ids = {each["messageId"] for each in events_of(recorded)}
    assert message_ids == set(edge.backend.stored)
    stored = edge.events("user_id:user-1")
    assert len(stored) == len(set(stored))
    assert edge.backend.stored.keys() >= set(stored)


@pytest.mark.parametrize("name", [each for each in NAMES if "plain" in each or "stand" in each])
async def test_they_make_the_profile_that_they_are_about(name: str) -> None:
    """The mail address leads to the user, the group to an account, under lower-case letters."""
    edge = TrackingEdge()

    for each in requests_of(name):
        await sent_again(edge, each)

    assert edge.segment_id("email:jane@example.com") == edge.segment_id("user_id:user-1")
    assert edge.traits("user_id:user-1")["email"].lower() == "jane@example.com"
    groups = [each for each in edge.backend.stored.values() if each[1].group_id]
    assert (edge.segment_id("group_id:acct-7", "accounts") is not None) == bool(groups)
