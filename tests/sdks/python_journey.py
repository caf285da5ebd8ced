"""The journey of the SDKs for Python, by a process of its own.

    python -m tests.sdks.python_journey {segment|rudder} HOST WRITE_KEY [HOST WRITE_KEY …]

Both SDKs have the same calls. All hosts are sent to at once, by a client each.
"""

from __future__ import annotations

import sys
from typing import Any

import rudderstack.analytics.client
import segment.analytics.client

CLIENTS: dict[str, Any] = {
    "segment": segment.analytics.client.Client,
    "rudder": rudderstack.analytics.client.Client,
}


def travel(analytics: Any) -> None:
    """Makes each of the calls that there are."""
    analytics.identify("person-1", {"email": "person-1@example.com", "score": 1.5, "tags": ["a"]})
    analytics.track("person-1", "Order Completed", {"total": 12.5})
    analytics.page("person-1", "Docs", "Home", {"path": "/"})
    analytics.screen("person-1", "App", "Settings", {"dark": True})
    analytics.group("person-1", "company-1", {"name": "Ünify", "employees": 7})
    analytics.track(event="Came Before", anonymous_id="before-1")
    analytics.alias("before-1", "person-1")


def main(sdk: str, *where: str) -> None:
    """Travels once to each host, and ends when nothing is waiting any more."""
    made = [
        CLIENTS[sdk](write_key, host=host)
        for host, write_key in zip(where[::2], where[1::2], strict=True)
    ]
    for client in made:
        travel(client)
    for client in made:
        client.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
