"""`GetStatus`: asks every part how it is doing, and waits for none that does not answer."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from unify_grpc._pb.unify.v1 import header_pb2, operations_service_pb2
from unify_grpc.machines.part_reports import MergeReport, ShardReport
from unify_grpc.service.profile_wire import time_to_wire

if TYPE_CHECKING:
    from unify_grpc.service.backend import Backend
    from unify_grpc.service.calls import Call

PART_TIMEOUT_S: Final = 2.0
SHARD_MAP_EPOCH: Final = 1
"""Slots do not move yet."""
MERGE_ACTORS_COUNT: Final = 1


async def get_status(call: Call, backend: Backend, started_us: int) -> Any:
    """Answers a `GetStatusRequest`; parts that do not answer in time are named."""
    count = backend.shard_map.shard_count
    timeout_s = min(PART_TIMEOUT_S, call.remaining_s / 2)
    *shards, merge = await asyncio.gather(
        *(asyncio.wait_for(backend.shard_status(shard), timeout_s) for shard in range(count)),
        asyncio.wait_for(backend.merge_status(), timeout_s),
        return_exceptions=True,
    )
    wire = operations_service_pb2.GetStatusResponse(
        version=_version(),
        start_time=time_to_wire(started_us),
        shards_count=count,
        shard_map_epoch=SHARD_MAP_EPOCH,
        header=header_pb2.ReplyHeader(request_id=call.request_id),
    )
    for shard, report in enumerate(shards):
        if isinstance(report, ShardReport):
            wire.shards.append(_shard_to_wire(shard, report))
        else:
            wire.unreachable.append(backend.shard_name(shard))
    if isinstance(merge, MergeReport):
        wire.merge_actors.append(_merge_to_wire(merge))
    else:
        wire.unreachable.append(backend.merge_name)
    states = [part.state for part in wire.shards] + [part.state for part in wire.merge_actors]
    wire.ready = len(states) == count + MERGE_ACTORS_COUNT and all(
        state == operations_service_pb2.SERVING_STATE_SERVING for state in states
    )
    return wire


def _version() -> str:
    try:
        return metadata.version("unify")
    except metadata.PackageNotFoundError:
        return "unknown"


def _state(*, is_full: bool) -> Any:
    if is_full:
        return operations_service_pb2.SERVING_STATE_FULL
    return operations_service_pb2.SERVING_STATE_SERVING


def _shard_to_wire(shard: int, report: ShardReport) -> Any:
    return operations_service_pb2.ShardStatus(
        shard=shard,
        state=_state(is_full=report.is_full),
        events_count=report.events,
        identifiers_count=report.identifiers,
        profiles_count=report.profiles,
        links_pending_count=report.links_pending,
        log_position=report.log_position,
        checkpoint_position=report.checkpoint_position,
        store_size_bytes=report.size_bytes,
        store_size_max_bytes=report.size_bytes_max,
        start_time=time_to_wire(report.started_us),
    )


def _merge_to_wire(report: MergeReport) -> Any:
    return operations_service_pb2.MergeActorStatus(
        merge_actor=0,
        state=_state(is_full=report.is_full),
        links_decided_count=report.links_decided,
        merges_count=report.merges,
        journal_sequence=report.journal_position,
        pushes_unconfirmed_count=report.rounds_unconfirmed,
        start_time=time_to_wire(report.started_us),
    )
