"""A part's answers to a verification, and what they cost, so that whoever asks can pace itself."""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING

from actors.hosting import answer_read
from unify_grpc.verification.messages import Again, Walk, decode_request

if TYPE_CHECKING:
    from unify_grpc.storage.store import Store
    from unify_grpc.verification.auditors import Auditor

_COST = struct.Struct("<d")


def answer_audit(auditor: Auditor, store: Store, request: bytes) -> bytes:
    """Answers a packed request, on what is published; in front stand the seconds it worked."""

    def answer() -> bytes:
        began_s = time.thread_time()
        reply = auditor.answer(store, request)
        return _COST.pack(time.thread_time() - began_s) + reply

    return answer_read(answer)


def walk_of(request: bytes) -> str:
    """Returns what a packed request has a part do, for people."""
    asked = decode_request(request)
    if isinstance(asked, Walk):
        return asked.walks[0]
    return asked.walk if isinstance(asked, Again) else type(asked).__name__.lower()


def read_audit(answer: bytes) -> tuple[bytes, float]:
    """Returns a packed reply and the seconds of processor time that it cost."""
    cost_s: float = _COST.unpack_from(answer)[0]
    return answer[_COST.size :], cost_s
