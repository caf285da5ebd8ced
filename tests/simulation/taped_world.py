"""A world whose choices are recorded, or repeated from a recording, with parts left out."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from tests.simulation.clients import Client
from tests.simulation.plan import Plan
from tests.simulation.tape import Recording, Tape, TapedStream, site
from tests.simulation.traffic import Request
from tests.simulation.world import Parts, World

if TYPE_CHECKING:
    from random import Random

EventKey = tuple[int, int, int]
"""(client, request, place in it) of an event that a client sends, as its seed drew them."""
_BRACKET = re.compile(r"\[(.*)\]")
_NUMBER = re.compile(r"\b\d+\b")


class TapedWorld(World):
    """Runs like any world; what it drew is in `tape`."""

    def __init__(
        self,
        plan: Plan,
        parts: Parts | None = None,
        recording: Recording | None = None,
        events: Collection[EventKey] | None = None,
    ) -> None:
        """Sets the world up.

        Args:
            plan: as for any world.
            parts: as for any world.
            recording: repeats it; None: draws from the seed, and records.
            events: which of those that the clients would send they send; None: all.
        """
        self.tape = Tape(recording)
        super().__init__(plan, parts)
        self.sent_events = list(_list_events(self.clients))
        if events is not None:
            _leave_out(self.clients, events)

    def stream(self, name: str) -> Random:
        """Returns draws that are recorded, or come from the recording."""
        return TapedStream.under(name, self.tape)

    def happens(self, chance: float) -> bool:
        """Records what happened and not the number drawn: chances change when plans shrink."""
        if chance <= 0:
            return False
        tape, where = self.tape, site()
        if tape.is_replay:
            return tape.take(where) is True
        tape.is_silent = True
        happened = super().happens(chance)
        tape.is_silent = False
        tape.put(where, happened)
        return happened

    def settle(self) -> None:
        """Heals as any world does."""
        self.tape.heal()
        super().settle()

    def _pass_time(self) -> None:
        self.tape.next_step()
        super()._pass_time()

    def _deliver(self) -> None:
        """Delivers the message that is most like the recorded one; none, if none is of its kind."""
        if not self.pool:
            return
        labels = [f"{message.to.name} < {message.label}" for message in self.pool]
        tape, step = self.tape, self.tape.step
        assert isinstance(self.rng, TapedStream)
        if not tape.is_replay:
            # Drawn at the place in the sequence where the world would draw it.
            tape.is_silent = True
            index = self.rng.randrange(len(labels))
            tape.is_silent = False
            step.delivered = index, labels[index]
        elif step.delivered is None:
            index = 0
        else:
            found = most_like(*step.delivered, labels)
            if found is None:
                return
            index = found
        self.rng.forced, self.rng.forced_of = index, len(labels)
        super()._deliver()
        self.rng.forced = None


def most_like(place: int, wanted: str, labels: list[str]) -> int | None:
    """Returns the place of the message that is most like one; None: there is none of its kind.

    What is left out before gives messages other places and numbers, and batches other events.
    """
    kind, names = _kind(wanted), _names(wanted)
    alike = [
        (label == wanted, len(names & _names(label)), -abs(at - place), at)
        for at, label in enumerate(labels)
        if _kind(label) == kind
    ]
    return max(alike)[3] if alike else None


@lru_cache(maxsize=1 << 14)
def _kind(label: str) -> str:
    return _NUMBER.sub("#", _BRACKET.sub("", label))


@lru_cache(maxsize=1 << 14)
def _names(label: str) -> frozenset[str]:
    found = _BRACKET.search(label)
    return frozenset(found[1].split()) if found else frozenset()


def _list_events(clients: Collection[object]) -> list[EventKey]:
    """Lists what the clients are going to send."""
    return [
        (number, at, event)
        for number, client in enumerate(clients)
        if isinstance(client, Client)
        for at, request in enumerate(client.requests)
        for event in range(len(request.events))
    ]


def _leave_out(clients: Collection[object], kept: Collection[EventKey]) -> None:
    """Takes events from what clients are going to send, and requests of which nothing is left."""
    wanted = set(kept)
    for number, client in enumerate(clients):
        if not isinstance(client, Client):
            continue
        requests = [
            Request(
                tuple(
                    each
                    for event, each in enumerate(request.events)
                    if (number, at, event) in wanted
                ),
                request.resolved,
            )
            for at, request in enumerate(client.requests)
        ]
        client.requests = [request for request in requests if request.events]
