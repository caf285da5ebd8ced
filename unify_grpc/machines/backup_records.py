"""What a backup's coordinator and the parts of the service tell each other, and what it leaves."""

from __future__ import annotations

from typing import Final

import msgspec

BACKUP_FORMAT: Final = 2
"""Of the files of a backup and what describes them; raised with either."""
BACKUP_FORMATS_READ: Final = (1, BACKUP_FORMAT)
"""The first did not say which software had made it."""

# -- what a part is asked ---------------------------------------------------------------------


class BackupCommand(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Asks a part for something; all of them may be repeated."""

    backup: str
    """Made anew for every attempt at a backup."""


class Reserve(BackupCommand, frozen=True, tag=True, array_like=True):
    """Keeps every other backup out until this one has ended."""


class Hold(BackupCommand, frozen=True, tag=True, array_like=True):
    """Holds the writer still between two commits, and keeps what is durable then."""


class Release(BackupCommand, frozen=True, tag=True, array_like=True):
    """Lets the writer go on."""

    life: int
    """Of the part, as it said when it held still."""


class Copy(BackupCommand, frozen=True, tag=True, array_like=True):
    """Begins to copy what was kept."""

    life: int
    directory: str
    """Of the attempt, absolute; the part writes below it in a directory of its own name."""


class Look(BackupCommand, frozen=True, tag=True, array_like=True):
    """Asks how far the copy is, and says that somebody still waits for it."""

    life: int


class Keep(BackupCommand, frozen=True, tag=True, array_like=True):
    """Makes the finished copy the coordinator's: the part does not remove it any more."""

    life: int


class End(BackupCommand, frozen=True, tag=True, array_like=True):
    """Gives the backup up: the part lets go, and removes what it has written."""


AnyBackupCommand = Reserve | Hold | Release | Copy | Look | Keep | End

# -- what a part answers ----------------------------------------------------------------------

RESERVED: Final = "reserved"
HELD: Final = "held"
RELEASED: Final = "released"
"""The writer stood still from `HELD` until this moment."""
COPYING: Final = "copying"
COPIED: Final = "copied"
KEPT: Final = "kept"
BUSY: Final = "busy"
"""Another backup is being made."""
OVER: Final = "over"
"""This backup has ended here, or a hold of it was never known: the part started anew since."""
FAILED: Final = "failed"
"""The copy failed; the part has removed what it had written."""
FULL: Final = "full"
"""The same, for want of room."""


class CopiedFile(msgspec.Struct, frozen=True):
    """A file of a backup."""

    path: str
    """Below the attempt's directory, such as `shard-0/log/data.mdb`."""
    size_bytes: int
    checksum: str
    """BLAKE2b-256, in hexadecimal digits."""


class StoreFacts(msgspec.Struct, frozen=True):
    """What a store says of itself."""

    deployment: str
    shard_count: int
    store_format: int
    lmdb_version: int


class PartReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Answers every command."""

    state: str
    """One of those above."""
    life: int = 0
    """Differs from that of every other opening of the store."""
    size_bytes: int = 0
    """HELD: what a copy takes, about. COPYING, COPIED: what is written so far."""
    facts: StoreFacts | None = None
    """From HELD on."""
    files: tuple[CopiedFile, ...] = ()
    """COPIED: what was written, all of it durable."""
    failure: str = ""
    """FAILED: why, in words."""


# -- what a backup says of itself -------------------------------------------------------------


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """Describes a finished backup; without it a directory is none."""

    format: int = BACKUP_FORMAT
    facts: StoreFacts
    """The same in all stores."""
    backup: str
    """The attempt that made it, and the name of its directory."""
    request_id: str
    """Of the request that it answers, normalised; empty if that had none."""
    snapshot_us: int
    """The instant that it shows, in microseconds since 1970."""
    files: tuple[CopiedFile, ...]
    version: str = ""
    """Of the software that made it, such as `1.2.0`; empty if that is not known."""
    machine_versions: dict[str, int] = {}
    """That wrote the logs' tails, by machine; empty if not known."""

    @property
    def size_bytes(self) -> int:
        """What all files take."""
        return sum(each.size_bytes for each in self.files)


encode = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(AnyBackupCommand).decode
decode_reply = msgspec.msgpack.Decoder(PartReply).decode
