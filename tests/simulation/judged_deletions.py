"""Ages and deletes once more, by the reference reading of the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.reference.resolver import Identifier as RefIdentifier
from tests.simulation.deleting import named_key, told_request
from tests.simulation.reference_words import created_at, ref, root_of
from tests.simulation.violation import require
from unify_grpc.placement.members import KEY_BYTES, incarnation_of, member_of

if TYPE_CHECKING:
    from tests.simulation.deleting import DeleteRequest
    from tests.simulation.judge import Judge
    from tests.simulation.reference_words import Profile
    from unify_grpc.machines.deletions import Ageing, DeleteCommand, Deletion

_SOMEBODY: RefIdentifier = ("", "", "")
"""Stands for a segment_id, by which a profile is looked up and which can not be deleted."""


def age(judge: Judge, ageing: Ageing) -> None:
    """Takes a record of the first step: what is to be deleted is where it says."""
    request = _asked(judge, ageing.command)
    name = told_request(request)
    require(judge.open is None, f"{name}: aged while another deletion is open")
    judge.open = ageing
    key = ageing.command.key
    require(
        ageing.member == member_of(key, judge.lives.get(key, 0)), f"{name}: not in its present life"
    )
    gone = ref(request.wanted, incarnation_of(ageing.member))
    if ageing.adopted is not None:
        _adopt(judge, ageing, gone, name)
    owner = judge.owner(gone)
    require(owner is not None and gone in judge.profiles[owner], f"{name}: aged and not linked")
    assert owner is not None
    require(root_of(owner) == int.from_bytes(ageing.root), f"{name}: another profile was aged")
    judge.aged.update(dict.fromkeys(judge.members(owner), ageing.seq))


def _adopt(judge: Judge, ageing: Ageing, gone: RefIdentifier, name: str) -> None:
    """Takes over a profile that no link had touched."""
    assert ageing.adopted is not None
    founded = judge.founded.get(ageing.member)
    require(judge.owner(gone) is None, f"{name}: adopted what was linked")
    require(founded is not None, f"{name}: adopted what was never founded")
    assert founded is not None
    adopted = ageing.adopted
    require(
        (adopted.stamp_us, adopted.stream, adopted.time_us) == founded[1:],
        f"{name}: adopted what was founded otherwise",
    )
    created = created_at(founded.stamp_us, 0, ageing.member)
    judge.reference.profiles = judge.profiles | {(gone[0], created): {gone: founded.time_us}}


def delete(judge: Judge, deletion: Deletion) -> None:
    """Takes a record of the second step, and deletes by the reference's rules."""
    request = _asked(judge, deletion.command)
    name = told_request(request)
    opened = judge.open
    require(opened is not None, f"{name}: deleted before it was aged")
    assert opened is not None
    judge.open = None
    same = (opened.command.request_id, opened.member)
    require(same == (deletion.command.request_id, deletion.member), f"{name}: something else aged")
    require(not deletion.refusal, f"{name}: refused after it was aged")
    gone = ref(request.wanted, incarnation_of(deletion.member))
    profile = _profile_named(judge, request)
    require(
        profile is not None and root_of(profile) == int.from_bytes(deletion.root),
        f"{name}: deleted from another profile",
    )
    assert profile is not None
    before = judge.profiles[profile]
    require(gone in before, f"{name}: deleted from where it is not")
    by = _SOMEBODY
    if not isinstance(request.named, bytes):
        by = ref(request.named, judge.lives.get(judge.world.control.key(request.named), 0))
    judge.reference.profiles = judge.profiles | {profile: {**before, _SOMEBODY: 0}}
    refusal = judge.reference.delete(gone, by)
    require(refusal is None, f"{name}: deleted, and the reference says {refusal}")
    left = {each: at_us for each, at_us in judge.profiles[profile].items() if each != _SOMEBODY}
    judge.reference.profiles = judge.profiles | {profile: left}
    judge.hidden[gone] = (profile[1], before[gone])
    judge.lives[deletion.command.key] = incarnation_of(deletion.member) + 1


def _profile_named(judge: Judge, request: DeleteRequest) -> Profile | None:
    """Returns the profile that a request names, as the decisions so far have it."""
    named = request.named
    if not isinstance(named, bytes):
        life = judge.lives.get(judge.world.control.key(named), 0)
        return judge.owner(ref(named, life))
    key, life = named[:KEY_BYTES], incarnation_of(named)
    identifier = judge.world.control.identifier(key)
    return judge.owner(ref(identifier, life))


def _asked(judge: Judge, command: DeleteCommand) -> DeleteRequest:
    """Returns what somebody asked for that the journal says was done."""
    asked = judge.world.ledger.deletions.asked.get(command.request_id)
    require(asked is not None, "deleted what nobody asked for")
    assert asked is not None
    request, world = asked.request, judge.world
    require(
        (command.named, command.key)
        == (named_key(world, request), world.control.key(request.wanted)),
        f"{told_request(request)}: something else was deleted",
    )
    return request
