"""Which gateways serve, and how new what each of them knows is.

A gateway that has not asked for `LEASE_S` refuses every call until it has asked again. So whoever
waits until no live gateway is behind a revision knows that it acts everywhere, and a key that was
revoked works nowhere after `LEASE_S`, whatever became of a gateway.
"""

from __future__ import annotations

from typing import Final

LEASE_S: Final = 5.0


class GatewayLeases:
    """The gateways that asked control lately. Kept in memory; time comes with each call."""

    def __init__(self, started_s: float) -> None:
        """Starts out not knowing who asked a life of control that ended just before."""
        self._all_known_from_s = started_s + LEASE_S
        self._asked: dict[str, tuple[float, int]] = {}

    def know_all(self) -> None:
        """Says that no gateway can have asked an earlier life."""
        self._all_known_from_s = 0.0

    def renewed(self, gateway: str, revision: int, now_s: float) -> None:
        """Notes that a gateway asked, and the revision it held when it did."""
        self._asked[gateway] = (now_s, revision)

    def left(self, gateway: str) -> None:
        """Forgets a gateway that serves no calls any more."""
        self._asked.pop(gateway, None)

    def count_behind(self, revision: int, now_s: float) -> int:
        """Returns how many live gateways may hold an older revision; 0: it acts everywhere."""
        for gateway, (asked_s, _) in list(self._asked.items()):
            if asked_s < now_s - LEASE_S:
                del self._asked[gateway]
        unknown = 1 if now_s < self._all_known_from_s else 0
        return unknown + sum(held < revision for _, held in self._asked.values())
