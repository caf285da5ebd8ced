"""What the service can be compared with in the same run, by the name that `--versus` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from bench.changed_services import CeilingService, NaiveService
from bench.postgres_server import WAL_BYTES_MAX
from bench.service import Service

if TYPE_CHECKING:
    from collections.abc import Mapping


class Launch(Protocol):
    """Starts a subject in a directory that exists."""

    def __call__(self, directory: Path, *, shards: int, log_level: str) -> Service:
        """Returns at once; the subject may not be ready yet."""


@dataclass(frozen=True)
class Subject:
    """What traffic is sent to."""

    name: str
    launch: Launch
    text: str
    """What it is, in a few words."""
    disk_bytes: int = 0
    """That it may use beyond what the service may."""


def _postgres(directory: Path, *, shards: int, log_level: str) -> Service:
    # Its driver need not be there for anything else.
    from bench.postgres_service import PostgresService

    return PostgresService(directory, shards=shards, log_level=log_level)


def _bare_postgres(directory: Path, *, shards: int, log_level: str) -> Service:
    from bench.postgres_service import BarePostgresService

    return BarePostgresService(directory, shards=shards, log_level=log_level)


SERVICE: Final = Subject("service", Service, "the service itself")
YARDSTICKS: Final[Mapping[str, Subject]] = {
    each.name: each
    for each in (
        Subject(
            "postgres",
            _postgres,
            "PostgreSQL behind the same gateway, without limits",
            # The log may overrun what it is set to while a checkpoint is under way.
            disk_bytes=2 * WAL_BYTES_MAX,
        ),
        Subject(
            "postgres_bare",
            _bare_postgres,
            "PostgreSQL without traits and events in order of time, too",
            disk_bytes=2 * WAL_BYTES_MAX,
        ),
        Subject("naive", NaiveService, "everything committed per batch"),
        Subject("ceiling", CeilingService, "the service without apply and links"),
    )
}
