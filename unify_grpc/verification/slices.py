"""One slice of a walk: a bounded part of a store, looked at as it is at one moment.

A slice is small, so that it can be done beside a writer: what it costs is counted in units of work
as it goes, and it ends when it has done enough. Nothing is kept between two slices but a cursor.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from unify_grpc.machines.row_names import row_name
from unify_grpc.machines.rows import MEMBER, MemberRow
from unify_grpc.machines.tables import DamagedError
from unify_grpc.verification.events_at import EventReader, NoEventError
from unify_grpc.verification.findings import Found, Invariant
from unify_grpc.verification.messages import Claimed

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from unify_grpc.verification.claims import Claim
    from unify_grpc.verification.views import StoreView

ROWS_AT_ONCE: Final = 64
_MEMBERS_KEPT_MAX: Final = 256


class Slice:
    """What one slice found, claims and counted."""

    def __init__(self, view: StoreView, last: int, work_max: int) -> None:
        """Takes a store at one moment, the last record that counts, and how much to do."""
        self.view = view
        self.events = EventReader(view)
        self.last = last
        self.work_max = work_max
        self.work = 0
        self.records = 0
        self.found: list[Found] = []
        self.claims: list[Claimed] = []
        self.tallies: Counter[str] = Counter()
        self.walk = ""
        """The walk at hand."""
        self._key = b""
        self._named: Callable[[bytes], str] = row_name
        self.kept: dict[Hashable, Any] = {}
        """What checks keep at hand for as long as the slice lasts."""
        self._once: set[Hashable] = set()
        self._members: dict[bytes, MemberRow | None] = {}

    @property
    def is_full(self) -> bool:
        """Whether enough was done."""
        return self.work >= self.work_max

    def turn_to(self, key: bytes, named: Callable[[bytes], str] = row_name) -> None:
        """Takes up the next row, record or event: its key says whose claims are whose."""
        self._key, self._named = key, named

    @property
    def name(self) -> str:
        """How findings name what is at hand."""
        return self._named(self._key)

    def find(self, invariant: Invariant, text: str) -> None:
        """Notes a fault; the text has no values of identifiers or traits."""
        self.found.append(Found(invariant.value, text))

    def require(self, holds: bool, invariant: Invariant, text: str) -> bool:  # noqa: FBT001 - the fact itself, as in assert
        """Notes a fault unless something holds; returns whether it does."""
        if not holds:
            self.find(invariant, f"{self.name}: {text}")
        return holds

    def claim(self, part: int, claim: Claim) -> None:
        """Has another part agree with what the row at hand says."""
        self.claims.append(Claimed(part, self.walk, self._key, claim))
        self.work += 1

    def is_new(self, thing: Hashable) -> bool:
        """Whether a thing comes up for the first time in this slice."""
        if thing in self._once:
            return False
        self._once.add(thing)
        return True

    def member(self, member: bytes) -> MemberRow | None:
        """Returns a shard's row of a member; `DamagedError`, `ValueError`."""
        if member in self._members:
            return self._members[member]
        data = self.view.get(MEMBER + member)
        row = None if data is None else MemberRow.unpack(data)
        if len(self._members) >= _MEMBERS_KEPT_MAX:
            self._members.clear()
        self._members[member] = row
        return row

    def check(self, key: bytes, value: bytes | None, check: CheckRow) -> None:
        """Checks one row, whatever it holds."""
        self.turn_to(key)
        self.records += 1
        self.work += 1
        if value is None:
            self.find(Invariant.CHECKSUMS, f"{self.name} does not match its checksum")
            return
        self.attempt(lambda: check(self, key, value))

    def attempt(self, check: Callable[[], object]) -> None:
        """Does a check; what it stumbles over is a finding, not the end of the slice."""
        try:
            check()
        except DamagedError:
            # Of another row or record, which the walk over its own table tells.
            self.work += 1
        except NoEventError as error:
            self.find(Invariant.EVENT_LISTS, f"{self.name}: {error}")
        except Exception as error:  # noqa: BLE001 - a row that breaks its reader is the finding
            kind = type(error).__name__
            self.find(Invariant.FORMATS, f"{self.name} cannot be read: {kind}")


class CheckRow(Protocol):
    """Checks one row of a table; raises whatever reading it raises."""

    def __call__(self, slice_: Slice, key: bytes, value: bytes, /) -> None:
        """Notes in the slice what does not hold."""


class Walking(Protocol):
    """A way through a part of a store, in slices."""

    @property
    def name(self) -> str:
        """Names it among the walks of the part."""

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on from a cursor; returns the next, None at the end."""

    def again(self, slice_: Slice, key: bytes) -> None:
        """Makes the claims of one row once more, as it is now."""


class TableWalk:
    """Goes through the rows of a table in the order of their keys."""

    def __init__(self, table: bytes, check: CheckRow) -> None:
        """Takes the byte that keys begin with, and what checks a row."""
        self.name = f"rows {table.decode()}"
        self._table = table
        self._check = check

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes on after a key."""
        while True:
            listed = slice_.view.list_rows(self._table, after=cursor, limit=ROWS_AT_ONCE)
            for key, value in listed.rows:
                slice_.check(key, value, self._check)
                if slice_.is_full:
                    return key
            if listed.after is None:
                return None
            cursor = listed.after
            if slice_.is_full:
                return cursor

    def again(self, slice_: Slice, key: bytes) -> None:
        """Checks one row, if it is still there; what it finds by itself was found before."""
        value = slice_.view.get(key)
        if value is not None:
            slice_.check(key, value, self._check)


class StrangerWalk:
    """Looks for rows of tables that a store does not have."""

    name = "rows of no table"

    def __init__(self, tables: bytes) -> None:
        """Takes the first bytes of the keys there may be."""
        self._tables = tables

    def walk(self, slice_: Slice, cursor: bytes) -> bytes | None:
        """Goes through all first bytes at once: there are few, and nothing under most."""
        del cursor
        # What begins with 0 is the store's own.
        for table in range(1, 256):
            slice_.work += 1
            if table in self._tables:
                continue
            listed = slice_.view.list_rows(bytes((table,)), after=b"", limit=ROWS_AT_ONCE)
            for key, _ in listed.rows:
                slice_.records += 1
                slice_.find(Invariant.FORMATS, f"{row_name(key)} is of no table that is known")
        return None

    def again(self, slice_: Slice, key: bytes) -> None:
        """Nothing here claims anything."""
