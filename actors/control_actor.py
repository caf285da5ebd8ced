"""Control as a Ray actor: spaces and credentials, off the hot path."""

from __future__ import annotations

import time

import msgspec
import ray

from actors import names
from actors.auditing import answer_audit
from actors.hosting import (
    HostedStore,
    answer_read,
    encode_answer,
    end_process,
    execute,
    open_store,
    prepare_process,
    replay_tail,
)
from unify_grpc.machines.audit_trail import AuditQuery
from unify_grpc.machines.control_commands import decode_command
from unify_grpc.machines.control_machine import MACHINE_VERSION, ControlMachine
from unify_grpc.machines.control_records import encode
from unify_grpc.machines.gateway_leases import GatewayLeases
from unify_grpc.storage.backing_up import StoreBackups
from unify_grpc.verification.auditors import ControlAuditor

CONTROL_GROUPS = {"backup": 1}
"""A thread of its own, so that what holds the writer still can let it go."""

_decode_query = msgspec.msgpack.Decoder(AuditQuery).decode


class ControlActor:
    """Owns control's store; one command at a time, and backups beside them."""

    def __init__(self, hosted: HostedStore) -> None:
        """Opens the store and replays its tail; a failure ends the process, never the actor."""
        try:
            prepare_process(hosted)
            self._leases = GatewayLeases(time.monotonic())
            self._store = open_store(hosted, MACHINE_VERSION)
            self._machine = ControlMachine(self._store)
            self._auditor = ControlAuditor()
            self._backups = StoreBackups(self._store, hosted.manifest)
            replay_tail(self._store, self._machine, self._machine.committed)
        except BaseException as error:  # noqa: BLE001 - a raise here would be for good
            end_process(names.CONTROL, error)

    def found(self, signing_key: bytes, admin_token: str, now_us: int) -> bytes:
        """Founds the deployment if it is new, and adds an admin token if one is given.

        Call it at each start of the service, before there are gateways.
        """
        self._leases.know_all()
        return execute(
            names.CONTROL,
            self._store,
            lambda: self._machine.found(signing_key, admin_token, now_us),
            self._machine.committed,
        )

    def has_admin_token(self) -> bytes:
        """Returns whether anybody can administer the deployment, packed."""
        return encode_answer(encode(self._machine.has_admin_token()))

    def administer(self, command: bytes) -> bytes:
        """Carries a packed command out; returns a packed `Administered`."""
        decoded = decode_command(command)
        return execute(
            names.CONTROL,
            self._store,
            lambda: self._machine.administer(decoded),
            self._machine.committed,
        )

    def see_types(self, space: int, types: list[str]) -> bytes:
        """Has a space meet types of identifiers, as far as it welcomes them."""
        return execute(
            names.CONTROL,
            self._store,
            lambda: self._machine.see_types(space, types),
            self._machine.committed,
        )

    def renew_directory(self, gateway: str, revision: int) -> bytes:
        """Returns packed `DirectoryChanges` since a gateway's revision, or None: there are none."""
        self._tend()
        self._leases.renewed(gateway, revision, time.monotonic())
        return encode_answer(encode(self._machine.directory_since(revision)))

    def _tend(self) -> None:
        try:
            self._store.tend()
        except Exception as error:  # noqa: BLE001 - as in `execute`
            end_process(names.CONTROL, error)

    def leave_directory(self, gateway: str) -> bytes:
        """Forgets a gateway that serves no calls any more."""
        self._leases.left(gateway)
        return encode_answer(b"")

    def count_gateways_behind(self, revision: int) -> bytes:
        """Returns how many live gateways may hold an older revision, packed."""
        return encode_answer(encode(self._leases.count_behind(revision, time.monotonic())))

    def newest_rules(self, space: int) -> bytes:
        """Returns a packed `RulesVersion`."""
        return encode_answer(encode(self._machine.rules[space]))

    def read_rules(self, space: int, version: int) -> bytes:
        """Returns a packed `RulesVersion`, or None: the space has no such version."""
        return answer_read(lambda: encode(self._machine.read_rules(space, version)))

    def list_audit(self, query: bytes) -> bytes:
        """Answers a packed `AuditQuery` with a packed `AuditPage`."""
        return answer_read(lambda: encode(self._machine.audit.read(_decode_query(query))))

    def audit(self, request: bytes) -> bytes:
        """Answers a packed request of a verification."""
        return answer_audit(self._auditor, self._store, request)

    def close(self) -> bool:
        """Checkpoints and releases the store; call nothing after it."""
        self._backups.close()
        self._store.close()
        return True

    def back_up(self, command: bytes) -> bytes:
        """Does the store's part in a backup; returns a packed `PartReply`."""
        return encode_answer(self._backups.answer(command))

    def ping(self) -> bool:
        """Says that the actor is up."""
        return True


def control_options() -> dict[str, object]:
    """Returns how the control actor is made: detached, restarted for ever, two threads."""
    return {
        "name": names.CONTROL,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
    }


for _method, _group in {"back_up": "backup"}.items():
    _grouped = ray.method(concurrency_group=_group)(getattr(ControlActor, _method))
    setattr(ControlActor, _method, _grouped)
