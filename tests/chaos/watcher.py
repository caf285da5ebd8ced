"""A reader who remembers: what a read shows through one identifier never goes backwards."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from unify_client import ProfileNotFound, ServiceError

from tests.chaos.callers import PATIENCE, Caller
from tests.chaos.spaces import is_harmless

if TYPE_CHECKING:
    from unify_client import Profile

    from tests.chaos.findings import Findings
    from tests.chaos.ledger import Ledger
    from tests.chaos.spaces import ChaosSpace

_WATCHED_MAX = 40
_MORTAL = "gone-"


class Watcher(Caller):
    """Reads the same people again and again."""

    def __init__(
        self, name: str, space: ChaosSpace, ledger: Ledger, findings: Findings, seed: str
    ) -> None:
        super().__init__(name, findings)
        self._source = random.Random(f"{seed} {name}")
        self._reader = self.keep(space.reader(PATIENCE))
        self._ledger = ledger
        self._seen: dict[str, tuple[frozenset[str], int]] = {}
        """By identifier: the identifiers of its profile, and how many events it had."""

    def step(self) -> None:
        """Reads somebody, and compares."""
        name = self._choose()
        if name is not None:
            sent_at = time.monotonic()
            try:
                self._compare(name, self._reader.get_profile(name))
            except ProfileNotFound:
                if name in self._seen:
                    self.findings.note("a read goes backwards", "somebody seen is not found")
            except ServiceError as error:
                if not is_harmless(error):
                    self.findings.note("a call fails for good", f"{self.name}: {error}")
                return
            self.answered_since = sent_at
        self.pause(self._source.uniform(0, 0.1))

    def _choose(self) -> str | None:
        if len(self._seen) >= _WATCHED_MAX:
            return self._source.choice(sorted(self._seen))
        message = self._ledger.sample(self._source)
        if message is None or "userId" not in message:
            return None
        return f"user_id:{message['userId']}"

    def _compare(self, name: str, profile: Profile) -> None:
        """What is deleted on purpose does not count."""
        assert profile.metadata is not None
        shown = frozenset(
            f"{each.type}:{each.id}"
            for each in profile.external_ids
            if not each.id.startswith(_MORTAL)
        )
        before, count = self._seen.get(name, (frozenset[str](), 0))
        if not shown >= before or profile.metadata.events_count < count:
            text = (
                f"{len(before)} identifiers and {count} events became {len(shown)} and "
                f"{profile.metadata.events_count}, {len(before - shown)} of the former are gone"
            )
            self.findings.note("a read goes backwards", text)
        self._seen[name] = shown, profile.metadata.events_count
