"""What a reader without the scope `pii` sees of payloads."""

from __future__ import annotations

import pytest

from unify_grpc.service.masking import mask_payload


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (b"", b""),
        (b"{}", b"{}"),
        (b'{"a":"x","b":7,"c":true,"d":null}', b'{"a":"***","b":"***","c":"***","d":"***"}'),
        (b'{"a":{"jane@example.com":[1]},"b":["x"]}', b'{"a":"***","b":"***"}'),
        (b"[1]", b'"***"'),
        (b"{bad", b'"***"'),
        (b'{"a":"\xff"}', b'{"a":"***"}'),
        (b'"\xff"', b'"***"'),
    ],
)
def test_only_the_names_of_an_object_are_left(text: bytes, seen: bytes) -> None:
    """Values go as a whole, with the names inside them; what is no object goes altogether."""
    assert seen == mask_payload(text)
