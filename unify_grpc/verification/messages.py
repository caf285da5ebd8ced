"""What the course of a verification asks parts, and their answers, packed with msgpack."""

from __future__ import annotations

import msgspec

from unify_grpc.verification.claims import Claim
from unify_grpc.verification.findings import Found


class Begin(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """Asks how far a part is, and what there is to walk through."""


class Walk(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """Asks to go on with walks, one after another, until enough is done."""

    walks: list[str]
    cursor: bytes
    """Of the first of them. Empty: from the start."""
    last: int
    """The last record that counts, from `Begun`."""
    work_max: int
    """About ten microseconds each; a single row may take more."""


class Again(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """Asks for the claims that some rows make now."""

    walk: str
    keys: list[bytes]
    last: int
    work_max: int


class Judge(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """Asks a part to judge claims, one after another, until enough is done."""

    claims: list[Claim]
    work_max: int


class Conclude(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """Asks to compare what was counted on the walks."""

    last: int
    counts: dict[str, int]
    """From `Begun`."""
    tallies: dict[str, int]
    """Sums over all walks of the part."""


Request = Begin | Walk | Again | Judge | Conclude


class Claimed(msgspec.Struct, array_like=True, frozen=True):
    """A claim and whom it is for."""

    part: int
    walk: str
    key: bytes
    """With the walk, the row that makes it, for `Again`."""
    claim: Claim


class Begun(msgspec.Struct, array_like=True, frozen=True):
    """Answers `Begin`."""

    last: int
    counts: dict[str, int]
    walks: list[str]


class Walked(msgspec.Struct, array_like=True, frozen=True):
    """Answers `Walk` and `Again`."""

    found: list[Found]
    claims: list[Claimed]
    tallies: dict[str, int]
    records: int
    """Rows and log records that were read."""
    walks: list[str]
    """Still to be done; empty: all are."""
    cursor: bytes
    """Of the first of them."""
    done: int = 0
    """Of `Again`: how many of its rows, from the first; one at least."""


class Doubt(msgspec.Struct, array_like=True, frozen=True):
    """That a claim does not hold."""

    index: int
    """Among the claims that were judged."""
    invariant: str
    text: str


class Further(msgspec.Struct, array_like=True, frozen=True):
    """That another part has to judge on."""

    index: int
    part: int
    claim: Claim


class Judged(msgspec.Struct, array_like=True, frozen=True):
    """Answers `Judge`."""

    doubts: list[Doubt]
    further: list[Further]
    done: int
    """How many claims were judged, from the first; one at least."""


class Concluded(msgspec.Struct, array_like=True, frozen=True):
    """Answers `Conclude`."""

    found: list[Found]
    walks: list[str]
    """Still to be walked, to find out where it is that something does not add up."""


Reply = Begun | Walked | Judged | Concluded

encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
REPLIES: dict[type, msgspec.msgpack.Decoder[Reply]] = {
    Begin: msgspec.msgpack.Decoder(Begun),
    Walk: msgspec.msgpack.Decoder(Walked),
    Again: msgspec.msgpack.Decoder(Walked),
    Judge: msgspec.msgpack.Decoder(Judged),
    Conclude: msgspec.msgpack.Decoder(Concluded),
}


def decode_reply(request: Request, data: bytes) -> Reply:
    """Returns the answer to a request."""
    return REPLIES[type(request)].decode(data)
