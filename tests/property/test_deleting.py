"""Identifiers deleted one after another: the machines do what the reference does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from tests.engine.in_process import InProcessService
from tests.property.messages import Message, identifiers_of, messages, tight_rules
from tests.reference.backend import ReferenceBackend

if TYPE_CHECKING:
    from collections.abc import Iterable

COLLECTIONS = ("users", "accounts")
CALLS = ("identify", "identify", "track", "group", "alias")
DELETIONS_MAX = 8


class Deletion(NamedTuple):
    """An identifier to be deleted from the profile of another, each as `type:value`."""

    lookup: str
    gone: str
    collection: str


Step = Message | Deletion


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Messages, some of them sent once more, with deletions of what they name in between."""
    sent = draw(messages(calls=CALLS))
    steps: list[Step] = list(sent)
    deletion = st.one_of(_of_one_message(sent), _of_any(sent))
    for _ in range(draw(st.integers(1, DELETIONS_MAX))):
        steps.insert(draw(st.integers(1, len(steps))), draw(deletion))
    steps += draw(st.lists(st.sampled_from(sent), max_size=4))
    return steps


def _of_one_message(sent: list[Message]) -> st.SearchStrategy[Deletion]:
    """Deletions of an identifier by another that came with it: most often they may be done."""
    return st.sampled_from(sent).flatmap(
        lambda message: st.permutations(_named(message) * 2).map(
            lambda names: Deletion(names[0][1], names[1][1], names[0][0])
        )
    )


def _of_any(sent: list[Message]) -> st.SearchStrategy[Deletion]:
    """Deletions of anything by anything, also by what nobody is known by."""
    named = sorted({each for message in sent for each in _named(message)})
    values = st.sampled_from([name for _, name in named] + ["user_id:nobody"])
    return st.builds(Deletion, values, values, st.sampled_from(COLLECTIONS))


def _named(message: Message) -> list[tuple[str, str]]:
    """Returns the (collection, `type:value`) of everything that a message names."""
    named = [("users", each) for each in identifiers_of(message)]
    if message["type"] == "group":
        named.append(("accounts", "group_id:" + message["groupId"]))
    return named


def _answers(backend: Any, steps: Iterable[Step]) -> list[Any]:
    """Does everything one after another; returns what is said of it, but for segment_ids."""
    told: list[Any] = []
    for step in steps:
        if isinstance(step, Deletion):
            told.append(backend.delete(step.lookup, [step.gone], step.collection))
            continue
        result = backend.send(step)
        is_new = result.status == "STORED"
        drops = sorted(map(tuple, result.drops)) if is_new else []
        told.append((result.status, result.reason, result.outcome if is_new else None, drops))
    return told


def _contents(backend: Any) -> dict[Any, Any]:
    """Returns every profile with its traits and events, and the merges."""
    found: dict[Any, Any] = {"merges": backend.merges()}
    for collection in COLLECTIONS:
        for profile in backend.partition(collection):
            name = min(profile)
            found[collection, profile] = (
                backend.traits(name, collection),
                sorted(backend.events(name, collection)),
            )
    return found


@given(tight_rules(), histories())
def test_deletions_are_the_references(rules: dict[str, Any], steps: list[Step]) -> None:
    """Answers, drops and refusals, and then profiles, traits and events are the reference's."""
    expected = ReferenceBackend(rules)
    told = _answers(expected, steps)
    for shards in (1, 3):
        service = InProcessService(rules, shards=shards)

        assert told == _answers(service, steps)
        assert _contents(expected) == _contents(service)


@given(tight_rules(), histories())
def test_a_restart_forgets_no_deletion(rules: dict[str, Any], steps: list[Step]) -> None:
    """Profiles and names are those before, and what was sent before is known."""
    service = InProcessService(rules, shards=3)
    _answers(service, steps)
    before = _contents(service), service.merge.incarnations
    service.restart()
    sent = [step for step in steps if not isinstance(step, Deletion)]
    told = [answer[0] for answer in _answers(service, sent)]

    assert before == (_contents(service), service.merge.incarnations)
    assert "STORED" not in told
