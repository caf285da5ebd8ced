"""Control as a Ray actor: spaces and credentials, off the hot path."""

from __future__ import annotations

import msgspec

from actors import names
from actors.hosting import (
    HostedStore,
    encode_answer,
    end_process,
    execute,
    open_store,
    prepare_process,
    replay_tail,
)
from unify_grpc.machines.control_machine import MACHINE_VERSION, ControlMachine, NewSpace

_encode = msgspec.msgpack.Encoder().encode
_decode_new_space = msgspec.msgpack.Decoder(NewSpace).decode


class ControlActor:
    """Owns control's store; one command at a time."""

    def __init__(self, hosted: HostedStore) -> None:
        """Opens the store and replays its tail; a failure ends the process, never the actor."""
        try:
            prepare_process(hosted)
            self._store = open_store(hosted, MACHINE_VERSION)
            self._machine = ControlMachine(self._store)
            replay_tail(self._store, self._machine, self._machine.committed)
        except BaseException as error:  # noqa: BLE001 - a raise here would be for good
            end_process(names.CONTROL, error)

    def found(self, signing_key: bytes, admin_token: str, now_us: int) -> bytes:
        """Founds the deployment if it is new, and adds an admin token if one is given."""
        return execute(
            names.CONTROL,
            self._store,
            lambda: self._machine.found(signing_key, admin_token, now_us),
            self._machine.committed,
        )

    def create_space(self, command: bytes) -> bytes:
        """Makes a space; returns a packed `SpaceCreated`."""
        decoded = _decode_new_space(command)
        return execute(
            names.CONTROL,
            self._store,
            lambda: self._machine.create_space(decoded),
            self._machine.committed,
        )

    def directory(self) -> bytes:
        """Returns a packed `Directory`."""
        return encode_answer(_encode(self._machine.directory()))

    def newest_rules(self, space: int) -> bytes:
        """Returns a packed `RulesVersion`."""
        return encode_answer(_encode(self._machine.spaces[space].rules[-1]))

    def close(self) -> bool:
        """Checkpoints and releases the store; call nothing after it."""
        self._store.close()
        return True

    def ping(self) -> bool:
        """Says that the actor is up."""
        return True


def control_options() -> dict[str, object]:
    """Returns how the control actor is made: detached, restarted for ever, one thread."""
    return {
        "name": names.CONTROL,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": 0,
    }
