"""A disk with what LMDB keeps on it, and everything that can go wrong with that.

An environment has two states: what a process finds there, and what survives a loss of power. A
commit makes both the same, as every commit syncs the whole file; a process that ends in a commit
may leave what the next one finds and a loss of power takes away again.

What is not here: a sync that fails, is reported, and whose pages are found until they are dropped.
LMDB writes its old root over the new one then, and where that fails too nobody can help.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, Self

import lmdb

from tests.simulation.nodes import Crashed

if TYPE_CHECKING:
    from types import TracebackType

    from tests.simulation.disk_store import DiskStore
    from tests.simulation.nodes import MergeNode, ShardNode

Rows = dict[bytes, bytes]
ENVIRONMENTS = ("log", "state")


class Trouble(Enum):
    """What happens to a write transaction."""

    MAP_FULL = auto()
    DISK_FULL = auto()
    """Only when it is committed; before, nothing is written."""
    ERROR = auto()
    """Of a read or a write."""
    END = auto()
    """The process ends."""


@dataclass(slots=True)
class Fate:
    """What happens to one write transaction, and when."""

    trouble: Trouble
    at_put: int | None
    """Before which row, from 0; None, or more than there are: when it is committed."""
    is_found: bool
    """Whether the next process finds what was committed, where the outcome is open."""
    is_durable: bool
    """The same of whoever comes after a loss of power."""


class Circumstances(Protocol):
    """Who decides what goes wrong."""

    def fate_of(self, environment: Environment) -> Fate | None:
        """Decides what happens to a write transaction that begins."""

    def is_running(self, disk: Disk) -> bool:
        """Whether a process that has it open is what runs now; else somebody only looks."""

    def before_read(self, environment: Environment) -> None:
        """Lets other threads go on before a read transaction begins."""

    def meanwhile(self, store: DiskStore) -> None:
        """Lets a checkpoint go on beside the writer."""

    def around_commit(self, environment: Environment) -> None:
        """Lets other threads go on before a commit, and after it."""


class Environment:
    """One LMDB environment; it is there for as long as the world is."""

    syncs = True
    """Off in a mutant."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.name = name
        self.found: Rows = {}
        """What a process finds. Never changed but replaced, so that readers keep what they have."""
        self.durable: Rows = {}
        """What is there after a loss of power."""
        self.is_full = False
        self._sorted: tuple[Rows, list[bytes]] = (self.found, [])

    def begin(self, *, write: bool = False) -> Transaction:
        """Begins a transaction."""
        if write:
            return WriteTransaction(self, self.disk.circumstances.fate_of(self))
        if self.disk.has_turns:
            self.disk.circumstances.before_read(self)
        return Transaction(self, self.found)

    def keys_of(self, rows: Rows) -> list[bytes]:
        """Returns the keys of one state in order."""
        if self._sorted[0] is not rows:
            self._sorted = (rows, sorted(rows))
        return self._sorted[1]

    def sync(self, force: bool = False) -> None:  # noqa: FBT001, FBT002  as LMDB has it
        """Makes what is found durable."""
        del force
        self.durable = self.found

    def replace(self, rows: Rows) -> None:
        """Commits."""
        self.found = rows
        if self.syncs:
            self.durable = rows

    def lose_power(self) -> None:
        """Drops what was not synced."""
        self.found = self.durable

    def reader_check(self) -> int:
        """Frees the slots of readers that ended with their process: there are no slots here."""
        return 0

    def path(self) -> str:
        """Returns a path where nothing is."""
        return self.name

    def stat(self) -> dict[str, int]:
        """Returns what a store asks for when it looks for room."""
        return {"psize": 4096}

    def info(self) -> dict[str, int]:
        """Returns what a store asks for when it looks for room: there is some."""
        return {"map_size": 1 << 40, "last_pgno": 0}


class Disk:
    """What one store has on its disk, whoever has it open."""

    environment: type[Environment] = Environment
    """Another one in a mutant."""

    def __init__(self, circumstances: Circumstances, node: ShardNode | MergeNode) -> None:
        self.circumstances = circumstances
        self.node = node
        self.log, self.state = (self.environment(self, name) for name in ENVIRONMENTS)
        self.opened: DiskStore | None = None
        """Who opened it last."""
        self.writer: DiskStore | None = None
        """Who is appending."""
        self.is_opening = False
        self.has_turns = False
        """Whether other threads may go on before a read transaction begins."""
        self.published: tuple[int, DiskStore | None] = (0, None)
        """The newest record whose rows readers may have seen, and where."""

    def __truediv__(self, name: str) -> Environment:
        """Returns an environment, as a directory would its path."""
        return self.log if name == "log" else self.state

    def lose_power(self) -> None:
        """Drops what was not synced."""
        self.log.lose_power()
        self.state.lose_power()


class Transaction:
    """A view of an environment at one moment."""

    def __init__(self, environment: Environment, rows: Rows) -> None:
        self.environment = environment
        self.rows = rows

    def __enter__(self) -> Self:
        """Begins to use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it."""

    def get(self, key: bytes) -> bytes | None:
        """Returns a value, or None."""
        return self.rows.get(key)

    def cursor(self) -> Cursor:
        """Returns a cursor."""
        return Cursor(self.rows, self.environment.keys_of(self.rows))

    def abort(self) -> None:
        """Ends it."""


class WriteTransaction(Transaction):
    """Changes that all take effect, or none."""

    def __init__(self, environment: Environment, fate: Fate | None) -> None:
        super().__init__(environment, dict(environment.found))
        self.fate = fate
        self.puts = 0

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commits, unless something was raised."""
        if kind is None:
            self.commit()

    def put(self, key: bytes, value: bytes, *, append: bool = False) -> bool:
        """Puts a row; False if it was to come last and does not."""
        self._meet_fate()
        if append and self.rows and key <= max(self.rows):
            return False
        self.rows[key] = value
        return True

    def delete(self, key: bytes) -> bool:
        """Deletes a row; whether there was one."""
        self._meet_fate()
        return self.rows.pop(key, None) is not None

    def commit(self) -> None:
        """Makes the changes durable, or meets its fate."""
        environment, fate = self.environment, self.fate
        circumstances = environment.disk.circumstances
        circumstances.around_commit(environment)
        if fate is None:
            environment.replace(self.rows)
            circumstances.around_commit(environment)
            return
        if fate.trouble in {Trouble.ERROR, Trouble.END} and fate.is_found:
            environment.found = self.rows
            if fate.is_durable:
                environment.sync()
        self._end(fate.trouble, "mdb_txn_commit")

    def _meet_fate(self) -> None:
        fate = self.fate
        if fate is not None and fate.at_put == self.puts:
            self._end(fate.trouble, "mdb_put")
        self.puts += 1

    @staticmethod
    def _end(trouble: Trouble, doing: str) -> None:
        match trouble:
            case Trouble.MAP_FULL:
                raise lmdb.MapFullError(f"{doing}: MDB_MAP_FULL")
            case Trouble.DISK_FULL:
                raise lmdb.DiskError(f"{doing}: No space left on device")
            case Trouble.ERROR:
                raise lmdb.DiskError(f"{doing}: Input/output error")
            case Trouble.END:
                raise Crashed


class Cursor:
    """Goes through the rows in the order of their keys."""

    def __init__(self, rows: Rows, keys: list[bytes]) -> None:
        self.rows = rows
        self.keys = keys
        self.at = -1

    def __enter__(self) -> Self:
        """Begins to use it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""

    def set_range(self, key: bytes) -> bool:
        """Goes to the first key that is not smaller; whether there is one."""
        self.at = bisect_left(self.keys, key)
        return self.at < len(self.keys)

    def next(self) -> bool:
        """Goes on; whether there is more."""
        self.at += 1
        return self.at < len(self.keys)

    def last(self) -> bool:
        """Goes to the last key; whether there is one."""
        self.at = len(self.keys) - 1
        return self.at >= 0

    def key(self) -> bytes:
        """Returns the key."""
        return self.keys[self.at]

    def value(self) -> bytes:
        """Returns the value."""
        return self.rows[self.keys[self.at]]
