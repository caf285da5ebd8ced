"""Which versions of the machines this software has: a log's tail is replayed by the same one."""

from __future__ import annotations

from typing import Final

from unify_grpc.machines import control_machine, merge_machine, shard_machine

MACHINE_VERSIONS: Final = {
    "control_machine": control_machine.MACHINE_VERSION,
    "merge_machine": merge_machine.MACHINE_VERSION,
    "shard_machine": shard_machine.MACHINE_VERSION,
}
"""By what stands for the machine in the description of a backup."""
