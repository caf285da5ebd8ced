"""What a shard and the merge actor say about how they are doing."""

from __future__ import annotations

import msgspec


class ShardReport(msgspec.Struct, array_like=True, frozen=True):
    """How a shard is doing."""

    events: int
    identifiers: int
    profiles: int
    links_pending: int
    log_position: int
    checkpoint_position: int
    size_bytes: int
    size_bytes_max: int
    is_full: bool
    started_us: int


class MergeReport(msgspec.Struct, array_like=True, frozen=True):
    """How the merge actor is doing."""

    links_decided: int
    merges: int
    journal_position: int
    rounds_unconfirmed: int
    """Records of its journal that not every shard has confirmed."""
    is_full: bool
    started_us: int


encode_report = msgspec.msgpack.Encoder().encode
decode_shard_report = msgspec.msgpack.Decoder(ShardReport).decode
decode_merge_report = msgspec.msgpack.Decoder(MergeReport).decode
