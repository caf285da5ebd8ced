"""How the service is doing, as callers read it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unify_client.times import time_of
from unify_client.vocabulary import ServingState, reader_of
from unify_grpc._pb.unify.v1 import operations_service_pb2

_state_of = reader_of(ServingState)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """How one shard is doing; counts are since the store was made."""

    shard: int
    state: ServingState
    events_count: int
    identifiers_count: int
    profiles_count: int
    links_pending_count: int
    log_position: int
    checkpoint_position: int
    store_size_bytes: int
    store_size_max_bytes: int
    start_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeActorStatus:
    """How one merge actor is doing; counts are since the store was made."""

    merge_actor: int
    state: ServingState
    links_decided_count: int
    merges_count: int
    journal_sequence: int
    pushes_unconfirmed_count: int
    start_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """How the service is doing."""

    version: str
    start_time: datetime
    ready: bool
    """Whether all shards and merge actors serve."""
    shards: tuple[ShardStatus, ...]
    """By number; those that do not answer are missing."""
    merge_actors: tuple[MergeActorStatus, ...]
    unreachable: tuple[str, ...]
    """The parts that did not answer, such as `shard-1`."""
    shards_count: int
    shard_map_epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A finished backup."""

    directory: str
    """On the machine of the service."""
    snapshot_time: datetime
    """The instant that it shows."""
    size_bytes: int


def backup(message: operations_service_pb2.CreateBackupResponse) -> Backup:
    """Returns a finished backup from the wire."""
    return Backup(
        directory=message.directory,
        snapshot_time=time_of(message.snapshot_time),
        size_bytes=message.size_bytes,
    )


def service_status(message: operations_service_pb2.GetStatusResponse) -> ServiceStatus:
    """Returns the service's state from the wire."""
    return ServiceStatus(
        version=message.version,
        start_time=time_of(message.start_time),
        ready=message.ready,
        shards=tuple(map(_shard_status, message.shards)),
        merge_actors=tuple(map(_merge_actor_status, message.merge_actors)),
        unreachable=tuple(message.unreachable),
        shards_count=message.shards_count,
        shard_map_epoch=message.shard_map_epoch,
    )


def _shard_status(message: operations_service_pb2.ShardStatus) -> ShardStatus:
    return ShardStatus(
        shard=message.shard,
        state=_state_of(message.state) or ServingState.UNRECOGNIZED,
        events_count=message.events_count,
        identifiers_count=message.identifiers_count,
        profiles_count=message.profiles_count,
        links_pending_count=message.links_pending_count,
        log_position=message.log_position,
        checkpoint_position=message.checkpoint_position,
        store_size_bytes=message.store_size_bytes,
        store_size_max_bytes=message.store_size_max_bytes,
        start_time=time_of(message.start_time),
    )


def _merge_actor_status(message: operations_service_pb2.MergeActorStatus) -> MergeActorStatus:
    return MergeActorStatus(
        merge_actor=message.merge_actor,
        state=_state_of(message.state) or ServingState.UNRECOGNIZED,
        links_decided_count=message.links_decided_count,
        merges_count=message.merges_count,
        journal_sequence=message.journal_sequence,
        pushes_unconfirmed_count=message.pushes_unconfirmed_count,
        start_time=time_of(message.start_time),
    )
