"""What administration returns, as callers read it: spaces, rules, the service's own state."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unify_client.times import time_of
from unify_client.vocabulary import ServingState, reader_of
from unify_grpc._pb.unify.v1 import operations_service_pb2, space_pb2, space_service_pb2

_state_of = reader_of(ServingState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """One tenant: its own graph, rules, sources and tokens."""

    space_id: str
    name: str
    created_time: datetime
    rules_version: int
    """Which version of its rules holds, counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedSpace:
    """A new space and its secrets: shown this once, and left out of its repr."""

    space_id: str
    write_key: str
    """For sending events."""
    access_token: str
    """For reading, with the scopes `read` and `pii`."""
    source_id: str
    access_token_id: str
    space: Space

    def __repr__(self) -> str:
        return f"CreatedSpace(space_id={self.space_id!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One version of a space's rules."""

    version: int
    document: dict[str, Any]
    """The rules with every default written out."""
    created_time: datetime
    author: str
    """The `access_token_id` of the token that set it; `admin` for an admin token."""


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


def space(message: space_pb2.Space) -> Space:
    """Returns a space of the wire."""
    return Space(
        space_id=message.space_id,
        name=message.name,
        created_time=time_of(message.created_time),
        rules_version=message.rules_version,
    )


def created_space(message: space_service_pb2.CreateSpaceResponse) -> CreatedSpace:
    """Returns a new space of the wire."""
    return CreatedSpace(
        space_id=message.space.space_id,
        write_key=message.write_key,
        access_token=message.access_token,
        source_id=message.source_id,
        access_token_id=message.access_token_id,
        space=space(message.space),
    )


def rules(message: space_pb2.Rules) -> Rules:
    """Returns rules of the wire."""
    return Rules(
        version=message.version,
        document=json.loads(message.rules_json),
        created_time=time_of(message.created_time),
        author=message.author,
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
