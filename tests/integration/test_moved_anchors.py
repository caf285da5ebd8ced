"""A message sent again after a change of rules that moves its anchor is still recognised."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from unify_client import EventStatus, Identifier, group, identify, track

from tests.integration.administering import Administering
from tests.integration.service import ADMIN_TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from unify_client import Event, EventResult

    from tests.integration.service import Service

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

USER_FIRST = {"identifiers": [{"type": "user_id"}, {"type": "email"}]}
EMAIL_FIRST = {"identifiers": [{"type": "email"}, {"type": "user_id"}]}
NO_USERS = {"identifiers": [{"type": "user_id", "blocked": [{"pattern": ""}]}, {"type": "email"}]}


class Space:
    """A space whose rules change."""

    def __init__(self, admin: Administering) -> None:
        self._admin = admin
        self.name = str(uuid.uuid4())
        self.made = admin("CreateSpace", name=self.name, rules_json=_rules(USER_FIRST))

    def set_rules(self, document: dict[str, Any]) -> None:
        """Changes the rules."""
        self._admin("SetRules", space=self.name, rules_json=_rules(document))

    def send(self, *events: Event) -> Sequence[EventResult]:
        """Sends events as one batch, RESOLVED."""
        with self._admin.client(self.made.write_key) as client:
            return client.ingest(events)

    def history(self, name: Identifier) -> list[str]:
        """Returns the message ids of a profile's events, sorted."""
        kinds = ["identify", "track", "page", "screen", "group", "alias"]
        with self._admin.client(self.made.access_token) as client:
            return sorted(each.message_id for each in client.list_events(name, types=kinds))


def _rules(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


@pytest.fixture
def space(service: Service) -> Iterator[Space]:
    """A space in which the user id is the first identifier."""
    with Administering(service.address, ADMIN_TOKEN) as admin:
        yield Space(admin)


def test_a_message_is_known_by_the_anchor_it_had(space: Space) -> None:
    """Sent again under rules that put another identifier first, it has no second effect."""
    first = [
        identify(user_id="u", traits={"email": "e@example.com"}, message_id="m1"),
        track("Seen", user_id="u", context={"traits": {"email": "e@example.com"}}, message_id="m2"),
    ]
    stored = space.send(*first)
    space.set_rules(EMAIL_FIRST)
    again = space.send(*first)
    new = space.send(
        track("New", user_id="u", context={"traits": {"email": "e@example.com"}}, message_id="m3")
    )

    assert [EventStatus.DUPLICATE] * 2 == [each.status for each in again]
    assert [each.segment_id for each in stored] == [each.segment_id for each in again]
    assert [EventStatus.STORED] == [each.status for each in new]
    assert ["m1", "m2", "m3"] == space.history(Identifier("users", "user_id", "u"))


def test_it_is_known_over_several_changes(space: Space) -> None:
    """Each version that could have given it another anchor within the window is asked for."""
    event = identify(user_id="u", traits={"email": "e@example.com"}, message_id="m1")
    space.send(event)
    space.set_rules(EMAIL_FIRST)
    space.set_rules({**EMAIL_FIRST, "alias_links": "user_id"})
    space.set_rules({**EMAIL_FIRST, "lowercase_email": False})

    assert [EventStatus.DUPLICATE] == [each.status for each in space.send(event)]


def test_it_is_known_where_nothing_is_left_of_it(space: Space) -> None:
    """Under rules that block its only identifier a new message is refused, a stored one known."""
    event = track("Seen", user_id="u", message_id="m1")
    space.send(event)
    space.set_rules(NO_USERS)
    again, new = space.send(event, track("Seen", user_id="u", message_id="m2"))

    assert (EventStatus.DUPLICATE, EventStatus.REJECTED) == (again.status, new.status)


def test_a_group_call_is_known_by_the_user_it_named(space: Space) -> None:
    """Both sides were stored under the user's anchor of then; neither is stored again."""
    event = group("g", user_id="u", traits={"plan": "team"}, message_id="m1")
    space.send(event)
    space.set_rules(NO_USERS)
    again = space.send(event)

    assert [EventStatus.DUPLICATE] == [each.status for each in again]
    assert ["m1"] == space.history(Identifier("accounts", "group_id", "g"))


def test_the_same_id_of_another_sender_is_another_message(space: Space) -> None:
    """Only the anchors of the event itself are asked: careless senders number from 1."""
    space.send(identify(user_id="u", traits={"email": "e@example.com"}, message_id="1"))
    space.set_rules(EMAIL_FIRST)
    other = space.send(identify(user_id="v", traits={"email": "f@example.com"}, message_id="1"))

    assert [EventStatus.STORED] == [each.status for each in other]
