"""A caller is told of all faults of a request at once, and of as many as reach it."""

from __future__ import annotations

import pytest
from google.rpc import error_details_pb2

from unify_grpc.service.errors import ProfileNotFoundError, RequestInvalidError
from unify_grpc.service.faults import Faults
from unify_grpc.service.statuses import status_of

METADATA_BYTES_MAX = 8 * 1024
"""What clients take of a status without being told to take more."""


def test_every_check_is_made() -> None:
    """One that refuses does not keep the next from its turn; faults go before other refusals."""
    faults = Faults()
    with faults:
        raise ProfileNotFoundError
    with faults:
        raise RequestInvalidError([("a", "is bad"), ("b", "is bad")])
    faults.add("c", "is worse")

    with pytest.raises(RequestInvalidError, match="a: is bad; b: is bad; c: is worse"):
        faults.refuse()


def test_another_refusal_stands_where_nothing_is_invalid() -> None:
    """The first of them; and without any, nothing happens."""
    faults = Faults()
    faults.refuse()
    for kind in ("user_id", "email"):
        with faults:
            raise ProfileNotFoundError(identifier_type=kind)

    with pytest.raises(ProfileNotFoundError) as refused:
        faults.refuse()
    assert {"identifier_type": "user_id"} == refused.value.metadata


def test_a_mistake_of_ours_is_no_fault_of_the_request() -> None:
    """What is no refusal goes through."""
    with pytest.raises(KeyError), Faults():
        raise KeyError


@pytest.mark.parametrize(
    "violations",
    [
        [("rules_json.identifiers[0].limit", "must be a whole number from 0 to 1000000")] * 2000,
        [("k" * 500_000, "unknown key")],
        [("日" * 3000, "unknown key")] * 40,
        [("", "x" * 500_000)],
    ],
)
def test_a_refusal_reaches_its_caller(violations: list[tuple[str, str]]) -> None:
    """However much is wrong, the status and its text fit into what a client takes."""
    status = status_of(RequestInvalidError(violations))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    status.details[1].Unpack(bad)
    told = len(bad.field_violations)

    # The text once more as `grpc-message`, each of its bytes as %XX at the worst.
    assert status.ByteSize() + 3 * len(status.message.encode()) < METADATA_BYTES_MAX
    assert len(violations) - told == int(info.metadata.get("faults_left_out", "0"))
    if told < len(violations):
        assert f"{len(violations)} faults" in status.message
