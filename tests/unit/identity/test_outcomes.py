"""The numbers that records keep."""

from __future__ import annotations

from unify_grpc.identity.outcomes import DropReason, Outcome, RejectionReason


def test_numbers_never_change() -> None:
    """Stored numbers mean the same for ever."""
    assert ["CREATED", "ATTACHED", "MERGED", "PENDING"] == [
        Outcome(number).name for number in range(1, 5)
    ]
    assert [
        "LIMIT_EXCEEDED", "WINDOW_LIMIT_EXCEEDED", "MERGE_CAP", "IDENTIFIER_CAP", "BLOCKED",
        "INVALID_VALUE",
    ] == [DropReason(number).name for number in range(1, 7)]  # fmt: skip
    assert [
        "NO_IDENTIFIER", "INVALID_TIMESTAMP", "UNKNOWN_TYPE", "EVENT_TOO_LARGE",
        "TOO_MANY_TRAITS", "TOO_MANY_PROPERTIES", "TOO_DEEP", "TOO_MANY_IDENTIFIERS",
        "INVALID_MESSAGE_ID", "MISSING_EVENT_NAME", "INVALID_GROUP_ID", "MISSING_GROUP_ID",
        "MISSING_USER_ID", "MISSING_PREVIOUS_ID", "INVALID_JSON",
    ] == [RejectionReason(number).name for number in range(1, 16)]  # fmt: skip
