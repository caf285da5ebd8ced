"""Runs several readings side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unify_grpc.machines.assembly import Reading
    from unify_grpc.machines.reads import Question

T = TypeVar("T")


def together(readings: Sequence[Reading[T]]) -> Reading[list[T]]:
    """Runs readings at once and returns what each gave, in their order.

    What they ask at the same step goes to each shard as one list of questions.
    """
    results: dict[int, T] = {}
    asking: dict[int, dict[int, list[Question]]] = {}
    for at, reading in enumerate(readings):
        try:
            asking[at] = next(reading)
        except StopIteration as stop:
            results[at] = stop.value
    while asking:
        joined: dict[int, list[Question]] = {}
        for asked in asking.values():
            for shard, questions in asked.items():
                joined.setdefault(shard, []).extend(questions)
        answers = yield joined
        following: dict[int, dict[int, list[Question]]] = {}
        taken = dict.fromkeys(joined, 0)
        for at, asked in asking.items():
            mine = {}
            for shard, questions in asked.items():
                start = taken[shard]
                taken[shard] = end = start + len(questions)
                mine[shard] = answers[shard][start:end]
            try:
                following[at] = readings[at].send(mine)
            except StopIteration as stop:
                results[at] = stop.value
        asking = following
    return [results[at] for at in range(len(readings))]
