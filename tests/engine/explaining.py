"""Explanations of an in-process service: the generator that gateways run, answered at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unify_grpc.machines.explaining import Explanation, Unknown, explain
from unify_grpc.machines.merge_reader import MergeReader
from unify_grpc.machines.merge_reads import ExplainLinks
from unify_grpc.placement.members import member_of_segment_id, segment_id_of

if TYPE_CHECKING:
    from tests.engine.in_process import InProcessService
    from unify_grpc.machines.profile_history import HistoryRow


def ask(
    service: InProcessService, first: str, second: str, collection: str = "users"
) -> Explanation | Unknown:
    """Explains two names, each `type:value` or a segment_id."""
    one, other = (_key(service, each, collection) for each in (first, second))
    reading = explain(service.shard_map, service.space.number, one, other)
    try:
        asked = next(reading)
        while True:
            answer: Any
            if isinstance(asked, ExplainLinks):
                answer = MergeReader(service.merge_store).explain(asked)
            else:
                answer = {
                    shard: service.shards[shard].reader.answer(questions)
                    for shard, questions in asked.items()
                }
            asked = reading.send(answer)
    except StopIteration as stop:
        found: Explanation | Unknown = stop.value
        return found


def explained(
    service: InProcessService, first: str, second: str, collection: str = "users"
) -> Explanation:
    """Explains two names that both stand for profiles."""
    found = ask(service, first, second, collection)
    assert isinstance(found, Explanation)
    return found


def rows_in_words(rows: list[HistoryRow], collection: str = "users") -> list[tuple[str, str, str]]:
    """Returns rows as (segment_id, canonical segment_id, message id)."""
    return [
        (
            segment_id_of(collection, row.founder),
            segment_id_of(collection, row.canonical),
            row.message_id,
        )
        for row in rows
    ]


def _key(service: InProcessService, name: str, collection: str) -> bytes:
    named = member_of_segment_id(name)
    return named[1] if named else service.key(collection, name)
