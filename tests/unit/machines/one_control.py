"""A control machine whose decisions take effect at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from unify_grpc.machines.control_commands import (
    Administered,
    AnyCommand,
    NewAccessToken,
    NewRules,
    NewSource,
    NewSpace,
    Revocation,
)
from unify_grpc.machines.control_machine import ControlMachine
from unify_grpc.storage.memory import MemoryStore

if TYPE_CHECKING:
    from unify_grpc.machines.tables import Decision

NOW_US = 1_800_000_000_000_000


class OneControl:
    """A control machine and its store."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.machine = ControlMachine(self.store)
        self.machine.load()
        for number, record in self.store.tail():
            changes = self.machine.replay(number, record)
            self.store.publish(changes, number)
            self.machine.committed(changes)

    def restarted(self) -> OneControl:
        """Returns the machine as a new process finds it."""
        return OneControl(self.store.crashed())

    def execute(self, decision: Decision[None, Any]) -> Any:
        """Makes a decision durable and returns its reply."""
        if decision.record is not None:
            number = self.store.append(decision.record)
            self.store.publish(decision.changes, number)
            self.machine.committed(decision.changes)
        return decision.reply

    def found(self, admin_token: str = "") -> None:
        """Founds the deployment."""
        self.execute(self.machine.found(b"s" * 32, admin_token, NOW_US))

    def administer(self, command: AnyCommand, **changes: Any) -> Administered:
        """Carries a command out, with some of its fields changed."""
        command = msgspec.structs.replace(command, **changes)
        done: Administered = self.execute(self.machine.administer(command))
        return done

    def create(self, name: str, request_id: str = "", **changes: Any) -> Administered:
        """Makes a space."""
        command = NewSpace(
            author="admin",
            now_us=NOW_US,
            request_id=request_id,
            name=name,
            rules=b"{}",
            space_id=f"spa_{name}",
            secret=b"k" * 32,
            write_key=f"write-{name}",
            source_id=f"src_{name}",
            access_token=f"token-{name}",
            access_token_id=f"tok_{name}",
            scopes=["read", "pii"],
        )
        return self.administer(command, **changes)

    def set_rules(self, rules: bytes, **changes: Any) -> Administered:
        """Changes the rules of the first space."""
        command = NewRules(author="tok_one", now_us=NOW_US + 1, space=1, rules=rules)
        return self.administer(command, **changes)

    def create_source(self, name: str, **changes: Any) -> Administered:
        """Makes a source in the first space."""
        command = NewSource(
            author="admin",
            now_us=NOW_US + 2,
            space=1,
            name=name,
            source_id=f"src_{name}",
            write_key=f"write-{name}",
        )
        return self.administer(command, **changes)

    def create_token(self, name: str, **changes: Any) -> Administered:
        """Makes an access token in the first space."""
        command = NewAccessToken(
            author="admin",
            now_us=NOW_US + 3,
            space=1,
            name=name,
            access_token_id=f"tok_{name}",
            access_token=f"token-{name}",
            scopes=["read"],
        )
        return self.administer(command, **changes)

    def revoke(self, kind: str, credential_id: str, **changes: Any) -> Administered:
        """Revokes a key or token of the first space."""
        command = Revocation(
            author="admin", now_us=NOW_US + 4, space=1, kind=kind, credential_id=credential_id
        )
        return self.administer(command, **changes)

    def see(self, *types: str) -> list[str]:
        """Has the first space meet types; returns those that it has met by now."""
        self.execute(self.machine.see_types(1, list(types)))
        met = self.machine.met_types.get(1)
        return met.types if met else []

    def state(self) -> dict[str, Any]:
        """Returns everything that the machine holds in memory."""
        kept = {name: value for name, value in vars(self.machine).items() if name != "view"}
        audit = vars(kept.pop("audit"))
        return kept | {name: value for name, value in audit.items() if name != "view"}
