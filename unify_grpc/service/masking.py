"""What a reader without the scope `pii` sees in place of values."""

from __future__ import annotations

from typing import Final

import msgspec

MASK: Final = "***"
"""Stands for a value that the reader may not see."""
MASK_JSON: Final = b'"***"'

_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def mask_payload(text: bytes) -> bytes:
    """Returns a JSON object with its names and, in place of each value, the mask.

    Values are masked whole: the names inside them may be somebody's data. What is no JSON object,
    as in an event that was refused for it, is masked altogether; nothing stays nothing.
    """
    if not text:
        return text
    try:
        names = _object(text)
    except (msgspec.DecodeError, UnicodeError):
        return MASK_JSON
    return msgspec.json.encode(dict.fromkeys(names, MASK))
