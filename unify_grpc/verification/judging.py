"""What a part says of a claim."""

from __future__ import annotations

from typing import NamedTuple

from unify_grpc.verification.claims import Claim
from unify_grpc.verification.findings import Invariant


class Doubted(NamedTuple):
    """That a claim does not hold."""

    invariant: Invariant
    text: str


Verdict = Doubted | tuple[int, Claim] | None
"""Why a claim does not hold; or who else has to judge, and what; None: it holds."""


def doubt(invariant: Invariant, text: str) -> Doubted:
    """Returns why a claim does not hold, without values of identifiers or traits."""
    return Doubted(invariant, text)
