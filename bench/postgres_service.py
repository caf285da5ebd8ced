"""The yardstick `postgres` as a scenario runs it: a gateway process, and the server behind it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.components import Partition, describe_partition, describe_traits
from bench.conversation import Checked
from bench.postgres_backend import connect
from bench.postgres_schema import COUNT_LOST, COUNT_PROFILES, READ_PROFILES
from bench.postgres_server import PostgresServer
from bench.postgres_traits import READ_TRAITS
from bench.processes import Usage, descendants, usage_of
from bench.report import print_line
from bench.service import Service
from unify_grpc.machines.trait_rows import decode_traits

if TYPE_CHECKING:
    from types import TracebackType

    from bench.client_process import ClientProcess

LANES: Final = 1
"""On a busy machine of two cores neither two nor four cost less CPU, and four cost more: calls get
smaller, and the gateway's thread has most to do anyway."""
SERVER: Final = "pg-others"
"""The first process and whatever it starts now and then, autovacuum above all."""
_PARTS: Final = {
    "postgres: bench": "pg-sessions",
    "postgres: checkpointer": "pg-checkpointer",
    "postgres: walwriter": "pg-walwriter",
    "postgres: background writer": "pg-bgwriter",
}
"""By how a process titles itself."""


class PostgresService(Service):
    """PostgreSQL with the service's gateway, with nothing left of it afterwards."""

    is_whole = True
    """Whether traits are kept, and events in order of time."""

    def __init__(self, directory: Path, *, shards: int, log_level: str = "warning") -> None:
        """Makes a database and starts everything; `shards` does not matter."""
        self._server = PostgresServer(directory)
        print_line("server", self._server.describe())
        try:
            super().__init__(directory, shards=shards, log_level=log_level)
        except BaseException:
            self._server.stop()
            raise
        # Without the write-ahead log: what events are kept in is among the tables.
        self.data_dir = self._server.data_dir / "base"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops the gateway, then the server."""
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._server.stop()

    def check_alive(self) -> None:
        """Raises `BenchFailedError` once either has ended."""
        self._server.check_alive()
        super().check_alive()

    def parts(self) -> dict[int, str]:
        """Returns the part that each of the server's processes plays, by process number."""
        parts = {self._server.number: SERVER}
        for number in descendants(self._server.number):
            title = _title(number)
            known = (part for start, part in _PARTS.items() if title.startswith(start))
            parts[number] = next(known, SERVER)
        return parts

    def sample(self) -> dict[str, Usage]:
        """Returns the usage of each part; that of processes that ended counts for `SERVER`."""
        usages = self.tree.sample()
        for number, part in self.parts().items():
            usage = usage_of(number, with_ended=number == self._server.number)
            if usage is not None:
                usages[part] = usages[part].plus(usage) if part in usages else usage
        return usages

    def check(self, client: ClientProcess, address: str) -> Checked:
        """Reads all profiles from the tables: they have to be the components of what was sent."""
        expected = client.partition(address)
        socket_dir = str(self._server.socket_dir)
        found, profiles_count, lost_count = asyncio.run(_read(socket_dir))
        wrong = []
        if found != expected:
            wrong.append(f"the tables have {found}, not {expected}")
        if profiles_count != found.profiles_count:
            wrong.append(f"{profiles_count} rows of profiles, for {found.profiles_count}")
        if lost_count:
            wrong.append(f"{lost_count} redirects lead nowhere")
        if self.is_whole and expected.traits_checksum != asyncio.run(_read_traits(socket_dir)):
            wrong.append("the table of traits does not have what was sent")
        return Checked(found.profiles_count, wrong, found.checksum)

    def _command(self, shards: int, log_level: str) -> list[str]:
        del shards, log_level
        program = [sys.executable, "-m", "bench.postgres_gateway"]
        return [*program, str(self._server.socket_dir), str(LANES), str(int(self.is_whole))]


class BarePostgresService(PostgresService):
    """The same with identifiers, profiles, redirects and events alone."""

    is_whole = False


async def _read(socket_dir: str) -> tuple[Partition, int, int]:
    """Returns the partition, the number of profiles, and of redirects that lead nowhere."""
    connection: Any = await connect(socket_dir)
    try:
        # Read as a whole, once: the yardstick's own settings are for single probes.
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
            await connection.execute(f"SET {setting} = on")
        rows = await connection.fetch(READ_PROFILES)
        profiles_count = await connection.fetchval(COUNT_PROFILES)
        lost_count = await connection.fetchval(COUNT_LOST)
    finally:
        await connection.close()
    profiles = [
        (list(zip(row["types"], row["values"], strict=True)), int(row["events"])) for row in rows
    ]
    return describe_partition(profiles), profiles_count, lost_count


async def _read_traits(socket_dir: str) -> str:
    """Returns the checksum of all traits set under a `user_id`."""
    connection: Any = await connect(socket_dir)
    try:
        rows = await connection.fetch(READ_TRAITS)
    finally:
        await connection.close()
    return describe_traits(
        (
            row["value"],
            {
                name: json.loads(cell.value_json)
                for name, cell in decode_traits(row["cells"]).items()
            },
        )
        for row in rows
    )


def _title(number: int) -> str:
    try:
        return Path(f"/proc/{number}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
