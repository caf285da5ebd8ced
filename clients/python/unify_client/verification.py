"""What a verification of the service's stores came to, as callers read it."""

from __future__ import annotations

from dataclasses import dataclass

from unify_grpc._pb.unify.v1 import operations_service_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyFinding:
    """One fault of a store, without values of identifiers or traits."""

    part: str
    """Such as `shard-1` or `merge-0`."""
    invariant: str
    """What does not hold, by name."""
    description: str
    """For people; its wording may change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether every invariant of all stores holds."""

    sound: bool
    findings: tuple[VerifyFinding, ...]
    """At most 1,000."""
    findings_count: int
    records_checked_count: int


def verification(message: operations_service_pb2.VerifyResponse) -> Verification:
    """Returns a verification from the wire."""
    return Verification(
        sound=message.sound,
        findings=tuple(
            VerifyFinding(part=each.part, invariant=each.invariant, description=each.description)
            for each in message.findings
        ),
        findings_count=message.findings_count,
        records_checked_count=message.records_checked_count,
    )
