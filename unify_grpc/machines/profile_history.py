"""When profiles were created and absorbed: the rows that tell it, out of what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from unify_grpc.machines.links import Founding
    from unify_grpc.machines.merge_reads import ProfileChange


class HistoryRow(NamedTuple):
    """That an id of a profile stands for a profile from then on."""

    founder: bytes
    """The member that the id is named after."""
    canonical: bytes
    """The founding member of what it stands for; at its creation its own."""
    message_id: str
    """Of the event that caused it."""
    time_us: int
    """Of that event."""


def tell_history(
    changes: Iterable[ProfileChange], foundings: Mapping[bytes, Founding], roots: Iterable[bytes]
) -> list[HistoryRow]:
    """Returns the creations and merges of profiles, the oldest first.

    An id gets a further row each time that the profile it stands for is absorbed. A profile that a
    single event founded, unknown to the decision that took its identifier over, has rows too: its
    id was given out. They are in order of receipt, except that no merge comes before what it
    joined.

    Args:
        changes: of all profiles concerned, each with those it absorbed.
        foundings: by single events, of members of these profiles, as shards know them.
        roots: the profiles themselves, for those without any change.
    """
    telling = _Telling(foundings)
    for change in sorted(changes, key=lambda each: each.link.seq):
        telling.add(change)
    for root in dict.fromkeys(roots):
        telling.begin(root)
    telling.rows.sort(key=lambda each: each[0])
    return [row for _, row in telling.rows]


class _Telling:
    """Profiles as they were after the changes so far."""

    def __init__(self, foundings: Mapping[bytes, Founding]) -> None:
        self.rows: list[tuple[int, HistoryRow]] = []
        """With the moment, in microseconds of receipt, that each is put at."""
        self._foundings = dict(foundings)
        self._begun: set[bytes] = set()
        """Founding members of all profiles so far, live or absorbed."""
        self._ids: dict[bytes, list[bytes]] = {}
        """Of each live profile all founding members whose ids stand for it; its own first."""
        self._newest: dict[bytes, int] = {}
        """The moment of each live profile's newest row."""

    def add(self, change: ProfileChange) -> None:
        """Tells what one decision did."""
        for member, founding in change.adopted:
            self._foundings.setdefault(member, founding)
            self.begin(member)
        root, link = change.root, change.link
        if change.is_founding:
            own = self._foundings.get(root)
            if own is None or own.stamp_us > link.stamp_us:
                self._found(root, link.stamp_us, link.message_id, link.time_us)
        self.begin(root)
        voids = [each for each in change.joined if each in self._foundings]
        absorbed = [*change.absorbed, *(member for member, _ in change.adopted), *voids]
        for each in dict.fromkeys(absorbed):
            self.begin(each)
            if each != root and each in self._ids:
                self._absorb(each, change)

    def begin(self, root: bytes) -> None:
        """Tells how a profile was founded by a single event, unless its beginning is told."""
        if root in self._begun:
            return
        founding = self._foundings.get(root)
        if founding is None:
            self._begun.add(root)
            self._ids[root], self._newest[root] = [root], 0
            return
        self._found(root, founding.stamp_us, founding.message_id, founding.time_us)

    def _found(self, root: bytes, moment_us: int, message_id: str, time_us: int) -> None:
        self._begun.add(root)
        self._ids[root], self._newest[root] = [root], moment_us
        self.rows.append((moment_us, HistoryRow(root, root, message_id, time_us)))

    def _absorb(self, absorbed: bytes, change: ProfileChange) -> None:
        root, link = change.root, change.link
        moment_us = max(link.stamp_us, self._newest[root], self._newest.pop(absorbed))
        self._newest[root] = moment_us
        for founder in (ids := self._ids.pop(absorbed)):
            row = HistoryRow(founder, root, link.message_id, link.time_us)
            self.rows.append((moment_us, row))
        self._ids[root].extend(ids)
