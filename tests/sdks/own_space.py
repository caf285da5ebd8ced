"""The space of one SDK's run: its keys, what uses up its limit, and what the Profile API says."""

from __future__ import annotations

import json
import math
import uuid
from typing import Any, Final

import httpx
from unify_client import UnifyClient

from tests.integration.administering import Administering
from tests.integration.service import ADMIN_TOKEN, Service

WRITES_PER_S: Final = 40
"""Of a space, and so at once: several times what an SDK sends here."""
CALLS: Final = ("identify", "track", "page", "screen", "group", "alias")
RULES: Final = {"alias_links": "anonymous_id"}
"""So that an alias shows on the profile."""


class OwnSpace:
    """A new space of a service."""

    def __init__(self, service: Service) -> None:
        with Administering(service.address, ADMIN_TOKEN) as admin:
            rules = json.dumps(RULES).encode()
            made = admin("CreateSpace", name=uuid.uuid4().hex, rules_json=rules)
        self.space_id: str = made.space.space_id
        self.write_key: str = made.write_key
        self.token: str = made.access_token
        self.service = service

    def use_up(self, refused_s: float) -> int:
        """Sends more events of somebody else than the space may at once; returns the status.

        If that was let through, the space is refused everything for so many seconds from then on.
        """
        events = [
            {"type": "track", "event": "Filler", "userId": "filler", "messageId": uuid.uuid4().hex}
            for _ in range(math.ceil(WRITES_PER_S * (1 + refused_s)))
        ]
        return httpx.post(
            self.service.http_url + "/v1/batch",
            json={"batch": events},
            auth=(self.write_key, ""),
            timeout=30,
        ).status_code

    def message_ids(self, profile: str) -> list[str]:
        """Returns those of all calls in a user's history, of every type, in order."""
        with UnifyClient(self.service.address, key=self.token) as reader:
            return sorted(each.message_id for each in reader.list_events(profile, types=CALLS))

    def read(self, profile: str, rest: str, collection: str = "users") -> dict[str, Any]:
        """Reads something of a profile, up to the most that there is in one answer."""
        path = f"/v1/spaces/{self.space_id}/collections/{collection}/profiles/{profile}/{rest}"
        answer = httpx.get(
            self.service.http_url + path,
            params={"limit": 100},
            auth=(self.token, ""),
            timeout=30,
        )
        assert 200 == answer.status_code, answer.text
        content: dict[str, Any] = answer.json()
        return content
