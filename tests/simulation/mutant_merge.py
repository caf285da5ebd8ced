"""Merge actors with one rule missing; which one, `mutants.py` says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from unify_grpc.machines import journal
from unify_grpc.machines.deciding import write_down
from unify_grpc.machines.merge_machine import MergeMachine
from unify_grpc.machines.push_phases import PushPhases, push_to
from unify_grpc.machines.sweeping import in_order
from unify_grpc.placement.members import KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unify_grpc.machines.journal import Decision as LinkDecision
    from unify_grpc.machines.links import Founding, LookedUp, PendingLink, Push
    from unify_grpc.machines.merge_messages import Message
    from unify_grpc.machines.tables import Decision

Phase = dict[int, "Push"]


class AcksAtOnce(MergeMachine):
    """Answers when the journal record is durable, whatever is visible."""

    def _await_record(
        self, request: Any, index: int, answer: Any, record: int
    ) -> Iterator[Message]:
        del record
        yield from request.tell(index, answer)


class AcksRepeatsAtOnce(MergeMachine):
    """Answers a link that an earlier round decided, whatever is visible of it."""

    def _await_record(
        self, request: Any, index: int, answer: Any, record: int
    ) -> Iterator[Message]:
        if record < max(self._flights, default=0):
            yield from request.tell(index, answer)
        else:
            yield from super()._await_record(request, index, answer, record)


class BindingsFirst(PushPhases):
    """Pushes pointers before targets."""

    def finish(self) -> list[Phase]:
        """Changes the phases."""
        first, second, third = super().finish()
        return [second, first, third]


class ProfilesAlone(PushPhases):
    """Pushes all bindings in the second phase."""

    def finish(self) -> list[Phase]:
        """Changes the phases."""
        first, second, third = super().finish()
        for shard, push in first.items():
            push_to(second, shard).bindings.extend(push.bindings)
            push.bindings.clear()
        return [first, second, third]


class MemoryEarly(PushPhases):
    """Pushes link memory together with the bindings."""

    def finish(self) -> list[Phase]:
        """Changes the phases."""
        first, second, third = super().finish()
        for shard, push in third.items():
            push_to(second, shard).memories.extend(push.memories)
            push.memories.clear()
        return [first, second, third]


class ClearsEarly(PushPhases):
    """Clears pending marks together with the bindings."""

    def finish(self) -> list[Phase]:
        """Changes the phases."""
        first, second, third = super().finish()
        for shard, push in third.items():
            push_to(second, shard).clears.extend(push.clears)
            push.clears.clear()
        return [first, second, third]


class ChangedBindingsOnly(PushPhases):
    """Leaves out the bindings that an earlier decision pushes already."""

    first_seq = 0

    def add(self, decision: LinkDecision) -> None:
        """Changes what a decision adds."""
        self.first_seq = self.first_seq or decision.seq
        super().add(decision)

    def finish(self) -> list[Phase]:
        """Changes the phases."""
        since = {row[0]: row[3] for each in self.profiles.values() for row in each.members}
        phases = super().finish()
        for phase in phases:
            for push in phase.values():
                push.bindings[:] = [
                    each for each in push.bindings if since[each.member] >= self.first_seq
                ]
        return phases


class ForgetsAbsorbed(PushPhases):
    """Binds the identifiers of the event only."""

    def add(self, decision: LinkDecision) -> None:
        """Changes what a decision adds."""
        super().add(replace(decision, absorbed=[]))


class _NothingDecided:
    """A view without the links that were decided."""

    def __init__(self, view: Any) -> None:
        self.view = view

    def get(self, key: bytes) -> bytes | None:
        """Reads a row, or hides it."""
        found: bytes | None = self.view.get(key)
        return None if key.startswith(journal.DECIDED) else found


class DecidesTwice(MergeMachine):
    """Does not ask whether a link was decided."""

    def _decide_round(self, number: int, decision: Decision[Message, None]) -> None:
        view = self.view
        self.view = _NothingDecided(view)  # type: ignore[assignment]  # it answers what is asked
        super()._decide_round(number, decision)
        self.view = view


class CachesLookUps(MergeMachine):
    """Believes the first answer to a look-up for ever."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.cache: dict[bytes, LookedUp] = {}

    def _founding(self, member: bytes) -> Founding | None:
        key = member[:KEY_BYTES]
        found = self.cache.setdefault(key, self._looked_up[key])
        return found.founding


class _NotLinked:
    """Tables without the members that a look-up showed as founded alone."""

    def __init__(self, working: Any, founded: set[bytes]) -> None:
        self.working = working
        self.founded = founded

    def get(self, key: bytes) -> bytes | None:
        """Reads a row, or hides it."""
        if key[:1] == journal.MEMBER and key[1 : 1 + KEY_BYTES] in self.founded:
            return None
        found: bytes | None = self.working.get(key)
        return found


class LookUpsFirst(MergeMachine):
    """Believes a look-up even where its own tables know better by now."""

    def _decide(self, working: Any, link: Any, seq: int) -> LinkDecision:
        founded = {key for key, found in self._looked_up.items() if found.founding is not None}
        return super()._decide(_NotLinked(working, founded), link, seq)  # type: ignore[arg-type]  # it answers what is asked


class AnyLookUpCounts(MergeMachine):
    """Takes an answer to an earlier round's look-up for one to this round's."""

    def looked_up(
        self, round_: int, shard: int, found: Any, number: int
    ) -> Decision[Message, None]:
        """Overlooks which round was asked for."""
        asked = self._awaited_look_ups.get(shard)
        fits = asked is not None and len(asked.keys) == len(found)
        return super().looked_up(asked.round if asked and fits else round_, shard, found, number)


class AnyAckCounts(MergeMachine):
    """Takes the ack of an earlier push for one of the present."""

    def pushed(
        self, shard: int, push_number: int, voids: Any, number: int
    ) -> Decision[Message, None]:
        """Overlooks which push was acked."""
        outbox = self._outboxes.get(shard)
        if outbox is not None and outbox.message is not None:
            push_number = outbox.message.number
        return super().pushed(shard, push_number, voids, number)


class PushesNothingAgain(MergeMachine):
    """Takes what is in the journal for pushed."""

    def recover(self, last_record: int) -> list[Message]:
        """Sends nothing."""
        del last_record
        return []


class ConfirmsEarly(MergeMachine):
    """Confirms a round when it is through, even if one before it is not."""

    def _confirm(self, record: int) -> None:
        self.confirmed = max(self.confirmed, record)


def created_by_event_time(*arguments: Any) -> LinkDecision:
    """Takes the time of its first event for the moment a profile was created."""
    decided = write_down(*arguments)
    if decided.order == decided.seq:
        return replace(decided, created_us=decided.time_us)
    return decided


def not_raised(*arguments: Any) -> LinkDecision:
    """Leaves the stamp of a linked profile as it was received."""
    decided = write_down(*arguments)
    if decided.order == decided.seq:
        return replace(decided, created_us=decided.stamp_us)
    return decided


def shard_by_shard(listed: list[list[PendingLink]], links_max: int) -> list[PendingLink]:
    """Takes swept links up as the lists come."""
    del links_max
    return [link for links in listed for link in links]


def beyond_cuts(listed: list[list[PendingLink]], links_max: int) -> list[PendingLink]:
    """Takes all swept links up, also where earlier ones may be missing."""
    del links_max
    return in_order(listed, sum(map(len, listed)) + 1)
