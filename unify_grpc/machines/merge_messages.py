"""What the merge machine has its executor say, and to whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unify_grpc.machines.deletions import Deleted
    from unify_grpc.machines.links import Decided


@dataclass(frozen=True, slots=True)
class LookUp:
    """Ask a shard what it knows of identifiers."""

    shard: int
    round: int
    keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SendPush:
    """Have a shard apply rows; answered by `pushed` with the same number."""

    shard: int
    number: int
    push: bytes


@dataclass(frozen=True, slots=True)
class AskRules:
    """Ask control for rules of a space, at least this version; answered by `adopt_rules`."""

    space: int
    version: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell who handed links over how they ended, in the order they were handed over."""

    request: int
    decided: list[Decided]


@dataclass(frozen=True, slots=True)
class DeleteAnswer:
    """Tell who asked for a deletion what became of it."""

    request: int
    deleted: Deleted


Message = LookUp | SendPush | AskRules | Answer | DeleteAnswer
