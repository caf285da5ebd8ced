"""`ExplainIdentity` between the wire and what `machines/explaining.py` puts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from unify_grpc._pb.unify.v1 import header_pb2, identity_pb2, profile_pb2, profile_service_pb2
from unify_grpc.identity.outcomes import DropReason
from unify_grpc.machines.batch import EVENT_TYPES
from unify_grpc.machines.explaining import Unknown
from unify_grpc.machines.merge_reader import DROPS_MAX
from unify_grpc.placement.members import segment_id_of
from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.faults import Faults
from unify_grpc.service.masking import MASK
from unify_grpc.service.profile_reads import Named, name_by_identifier, name_by_segment_id
from unify_grpc.service.profile_wire import time_to_wire

if TYPE_CHECKING:
    from unify_grpc.machines.explaining import Explanation
    from unify_grpc.machines.merge_reads import DecidedLink, PathStep
    from unify_grpc.machines.reads import ToldEvent
    from unify_grpc.service.calls import Call
    from unify_grpc.service.directory import Space, SpaceDirectory
    from unify_grpc.service.profile_reads import ProfileReader


class AskedName(NamedTuple):
    """One of the two names, and whether the space's rules would refuse it today."""

    named: Named
    value: str
    """Of the identifier, normalised; empty for a segment_id."""
    refusal: DropReason | None


async def explain_identity(
    request: Any, call: Call, reader: ProfileReader, directory: SpaceDirectory
) -> Any:
    """Answers an `ExplainIdentityRequest`.

    Raises:
        RequestInvalidError: with every field of both names that is at fault.
        ProfileNotFoundError: one of the names stands for no profile; its metadata says which
            drop left it out, if one is known.
    """
    asked = read_names(request, call.space)
    first, second = asked
    found = await reader.explain(call.space, first.named, second.named)
    if isinstance(found, Unknown):
        raise _not_found(found, second if found.is_second else first)
    wire = _WireExplanation(found, first.named.collection, directory, call)
    response = wire.response()
    if not response.joined:
        refused = [wire.refusal(each) for each in asked if each.refusal is not None]
        drops = [*refused, *response.drops][:DROPS_MAX]
        del response.drops[:]
        response.drops.extend(drops)
    return response


def read_names(request: Any, space: Space) -> tuple[AskedName, AskedName]:
    """Returns both names of a request; `RequestInvalidError` with all that is wrong with them."""
    names: list[AskedName] = []
    faults = Faults()
    for field in ("first", "second"):
        with faults:
            names.append(_read_name(getattr(request, field), field, space))
    faults.refuse()
    first, second = names
    if first.named.collection != second.named.collection:
        raise RequestInvalidError([("second", "is of another collection than `first`")])
    return first, second


def _read_name(name: Any, field: str, space: Space) -> AskedName:
    kind = name.WhichOneof("name")
    if kind is None:
        raise RequestInvalidError([(field, "names no profile")])
    if kind == "segment_id":
        return AskedName(name_by_segment_id(name.segment_id), "", None)
    identifier: identity_pb2.Identifier = name.identifier
    collection = identifier.collection or "users"
    named = name_by_identifier(
        space, collection, identifier.type, identifier.value, f"{field}.identifier"
    )
    normalised, verdict = space.view.rules.verdict(identifier.type, identifier.value)
    refusal = verdict if isinstance(verdict, DropReason) else None
    return AskedName(named, normalised or "", refusal)


def _not_found(unknown: Unknown, asked: AskedName) -> ProfileNotFoundError:
    """Returns why a name stands for no profile, as far as that is known."""
    facts = asked.named.facts
    if asked.refusal is not None:
        facts["drop_reason"] = asked.refusal.name
    elif unknown.drop is not None:
        facts["drop_reason"] = DropReason(unknown.drop.reason).name
        facts["message_id"] = unknown.drop.link.message_id
    if "drop_reason" not in facts:
        return ProfileNotFoundError(**facts)
    text = f"There is no such profile: the identifier was left out, {facts['drop_reason']}"
    if "message_id" in facts:
        text += f", of the event {facts['message_id']}"
    return ProfileNotFoundError(text + ".", **facts)


class _WireExplanation:
    """One explanation on its way to the wire."""

    def __init__(
        self, explanation: Explanation, collection: str, directory: SpaceDirectory, call: Call
    ) -> None:
        self._explanation = explanation
        self._collection = collection
        self._directory = directory
        self._call = call
        self._is_masked = not call.caller.has("pii")

    def response(self) -> Any:
        """Returns the whole answer, without what today's rules refuse."""
        explanation = self._explanation
        return profile_service_pb2.ExplainIdentityResponse(
            joined=explanation.first_root == explanation.second_root,
            first_segment_id=segment_id_of(self._collection, explanation.first_root),
            second_segment_id=segment_id_of(self._collection, explanation.second_root),
            path=[self._step(each) for each in explanation.path],
            drops=[
                profile_pb2.DropExplanation(
                    drop=self._drop(each.type, each.value, each.reason),
                    rules_version=each.link.rules_version,
                    **self._event(each.link),
                )
                for each in explanation.drops
            ],
            history=[
                profile_pb2.ProfileHistoryEntry(
                    segment_id=segment_id_of(self._collection, row.founder),
                    canonical_segment_id=segment_id_of(self._collection, row.canonical),
                    message_id=row.message_id,
                    timestamp=time_to_wire(row.time_us),
                )
                for row in explanation.history
            ],
            header=header_pb2.ReplyHeader(request_id=self._call.request_id),
        )

    def refusal(self, asked: AskedName) -> Any:
        """Returns that today's rules refuse a name; no event is behind it."""
        assert asked.refusal is not None
        return profile_pb2.DropExplanation(
            drop=self._drop(asked.named.type, asked.value, int(asked.refusal)),
            rules_version=self._call.space.view.rules.version,
        )

    def _step(self, step: PathStep) -> Any:
        return profile_pb2.LinkExplanation(
            from_identifier=self._identifier(*step.from_identifier),
            to_identifier=self._identifier(*step.to_identifier),
            rules_version=step.link.rules_version,
            outcome=identity_pb2.Outcome.Name(step.link.outcome),
            **self._event(step.link),
        )

    def _event(self, link: DecidedLink) -> dict[str, Any]:
        told: ToldEvent = self._explanation.events[link.shard, link.position]
        return {
            "message_id": link.message_id,
            "type": EVENT_TYPES[told.type],
            "name": told.name,
            "source_id": self._directory.source_id(link.source),
            "timestamp": time_to_wire(link.time_us),
        }

    def _identifier(self, type_: str, value: str) -> Any:
        value = MASK if self._is_masked else value
        return identity_pb2.Identifier(collection=self._collection, type=type_, value=value)

    def _drop(self, type_: str, value: str, reason: int) -> Any:
        value = MASK if self._is_masked else value
        return identity_pb2.Drop(
            collection=self._collection,
            type=type_,
            value=value,
            reason=identity_pb2.DropReason.Name(reason),
        )
