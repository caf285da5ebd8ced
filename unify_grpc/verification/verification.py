"""The course of a verification: walks all parts in slices, and carries claims between them.

A generator asks and is told; whoever drives it reaches the parts: directly where the stores were
opened for it, by calls to actors where the service runs.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from unify_grpc.verification.claims import CONTROL, MERGE
from unify_grpc.verification.findings import Invariant
from unify_grpc.verification.messages import (
    Again,
    Begin,
    Begun,
    Conclude,
    Concluded,
    Judge,
    Judged,
    Walk,
    Walked,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.findings import Found
    from unify_grpc.verification.messages import Claimed, Reply, Request

FINDINGS_MAX: Final = 1000
"""That are told; all are counted."""
DOUBTS_MAX: Final = 10_000
"""That are asked about again; more are findings at once."""
KEYS_AT_ONCE: Final = 64
HOPS_MAX: Final = 64
"""From part to part that one claim is followed."""


class Ask(NamedTuple):
    """A part has to answer a request."""

    part: int
    request: Request


class Pause(NamedTuple):
    """Pushes have to be given time to arrive."""

    round: int
    """Counts from 1."""


class Finding(NamedTuple):
    """Something that does not hold."""

    part: int
    invariant: str
    text: str


class Report(NamedTuple):
    """What a verification came to."""

    findings: list[Finding]
    """The first of them."""
    findings_count: int
    records_count: int
    """Rows and log records that were read."""


class _Row(NamedTuple):
    """Whose claim it is."""

    part: int
    walk: str
    key: bytes


class Verification:
    """One verification on its way."""

    def __init__(
        self, parts: Sequence[int], *, alone: Iterable[int] = (), work_max: int, rounds: int
    ) -> None:
        """Says what is to be verified.

        Args:
            parts: shards by number, and `MERGE` and `CONTROL`.
            alone: those of them that are checked by themselves, since they are not up to date.
            work_max: of one request, in units of about ten microseconds.
            rounds: how often what parts disagree about is asked again before it counts.
        """
        self._parts = parts
        self._alone = frozenset(alone)
        self._work_max = work_max
        self._rounds = rounds
        self._findings: list[Finding] = []
        self._findings_count = 0
        self._records = 0
        self._begun: dict[int, Begun] = {}
        self._tallies: dict[int, Counter[str]] = {part: Counter() for part in parts}
        self._doubts: dict[_Row, list[Finding]] = {}
        self._waiting: dict[int, list[tuple[_Row, Claim]]] = {}

    def run(self) -> Generator[Ask | Pause, Reply | None, Report]:
        """Verifies everything; send the reply of each `Ask`, and None after each `Pause`."""
        for part in self._parts:
            begun = yield Ask(part, Begin())
            self._begun[part] = cast("Begun", begun)
        for part in self._parts:
            yield from self._walk(part, self._begun[part].walks)
        for part in self._parts:
            yield from self._conclude(part)
        yield from self._ask_again()
        for doubts in self._doubts.values():
            self._note(doubts)
        return Report(self._findings, self._findings_count, self._records)

    def _walk(self, part: int, walks: list[str]) -> Generator[Ask | Pause, Reply | None, None]:
        cursor, last = b"", self._begun[part].last
        while walks:
            reply = yield Ask(part, Walk(walks, cursor, last, self._work_max))
            walked = cast("Walked", reply)
            self._take(part, walked.found)
            self._tallies[part].update(walked.tallies)
            self._records += walked.records
            self._queue(part, walked.claims)
            walks, cursor = walked.walks, walked.cursor
            yield from self._carry(self._work_max // 2)
        yield from self._carry(0)

    def _conclude(self, part: int) -> Generator[Ask | Pause, Reply | None, None]:
        begun = self._begun[part]
        request = Conclude(begun.last, begun.counts, dict(self._tallies[part]))
        reply = yield Ask(part, request)
        concluded = cast("Concluded", reply)
        self._take(part, concluded.found)
        yield from self._walk(part, concluded.walks)

    # -- claims --------------------------------------------------------------------------------

    def _queue(self, part: int, claims: Iterable[Claimed]) -> None:
        """Keeps claims for the parts that judge them; a part that is alone neither asks nor is."""
        if part in self._alone:
            return
        for each in claims:
            if each.part in self._begun and each.part not in self._alone:
                row = _Row(part, each.walk, each.key)
                self._waiting.setdefault(each.part, []).append((row, each.claim))

    def _carry(self, kept_max: int) -> Generator[Ask | Pause, Reply | None, None]:
        """Has claims judged, of each part that more than so many wait for."""
        for part in list(self._waiting):
            if len(self._waiting[part]) > kept_max:
                claims = self._waiting.pop(part)
                for at in range(0, len(claims), self._work_max):
                    yield from self._judge(part, claims[at : at + self._work_max])

    def _judge(
        self, part: int, claims: list[tuple[_Row, Claim]], hops: int = 0
    ) -> Generator[Ask | Pause, Reply | None, None]:
        """Has a part judge claims, some at a time, and others judge on what follows from them."""
        further: dict[int, list[tuple[_Row, Claim]]] = {}
        while claims:
            reply = yield Ask(part, Judge([claim for _, claim in claims], self._work_max))
            judged = cast("Judged", reply)
            for doubt in judged.doubts:
                row = claims[doubt.index][0]
                # Of the two that disagree the shard is named: it follows the merge actor.
                blamed = part if row.part == MERGE and part >= 0 else row.part
                self._doubt(row, Finding(blamed, doubt.invariant, doubt.text))
            for each in judged.further:
                row = claims[each.index][0]
                if hops == HOPS_MAX:
                    text = f"a binding is followed {hops} times and leads to no profile"
                    invariant = Invariant.LIVE_PROFILES.value
                    self._doubt(row, Finding(row.part, invariant, text))
                elif each.part in self._begun and each.part not in self._alone:
                    further.setdefault(each.part, []).append((row, each.claim))
            claims = claims[judged.done :]
        for other, following in further.items():
            yield from self._judge(other, following, hops + 1)

    def _doubt(self, row: _Row, finding: Finding) -> None:
        if row in self._doubts or len(self._doubts) < DOUBTS_MAX:
            self._doubts.setdefault(row, []).append(finding)
        else:
            self._note([finding])

    def _ask_again(self) -> Generator[Ask | Pause, Reply | None, None]:
        """Asks about what parts disagreed on, until they agree or enough rounds have passed."""
        for round_ in range(1, self._rounds + 1):
            if not self._doubts:
                return
            yield Pause(round_)
            doubted, self._doubts = self._doubts, {}
            by_walk: dict[tuple[int, str], list[bytes]] = {}
            for row in doubted:
                by_walk.setdefault((row.part, row.walk), []).append(row.key)
            for (part, walk), keys in by_walk.items():
                last, at = self._begun[part].last, 0
                while at < len(keys):
                    some = keys[at : at + KEYS_AT_ONCE]
                    reply = yield Ask(part, Again(walk, some, last, self._work_max))
                    walked = cast("Walked", reply)
                    self._queue(part, walked.claims)
                    at += walked.done
            yield from self._carry(0)

    # -- findings ------------------------------------------------------------------------------

    def _take(self, part: int, found: Iterable[Found]) -> None:
        self._note([Finding(part, *each) for each in found])

    def _note(self, findings: Sequence[Finding]) -> None:
        self._findings_count += len(findings)
        room = FINDINGS_MAX - len(self._findings)
        self._findings.extend(findings[: max(0, room)])


def parts_of(shard_count: int) -> list[int]:
    """Returns all parts of a service: control, the merge actor, the shards."""
    return [CONTROL, MERGE, *range(shard_count)]
