"""Taking a batch apart that is no JSON as a whole, so that one event's fault stays its own.

Real callers send `NaN`, halves of a character, and worse, inside one event of many. Only brackets
and strings are looked at here: where one event ends does not depend on what is wrong in it.
"""

from __future__ import annotations

import re
from typing import Final

_BLANK: Final = re.compile(rb"[ \t\r\n]*")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_NESTING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]++|[\]}]++', re.DOTALL)
"""A string without an end goes to the end of the text, or each quote in it would be tried anew."""
_SCALAR: Final = re.compile(rb"[^\s,\[\]{}:\"]+")
_OPENING: Final = b"[{"
_CLOSING: Final = b"]}"


MEMBERS_MAX: Final = 1_000
"""Of an object, the same key again included: each takes its time here."""


class NotSplitError(Exception):
    """The text has no such outline."""


class TooManyPartsError(NotSplitError):
    """There is more of it than anybody wants."""


def split_object(text: bytes) -> dict[bytes, bytes]:
    """Returns the members of an object: key as written, to value as written; the last counts.

    Raises:
        NotSplitError: no object, too large a one, or something is wrong outside of its values.
    """
    count = 0
    members: dict[bytes, bytes] = {}
    at = _begin(text, b"{")
    while not _ends(text, at, b"}", is_first=not members):
        key_end = _end_of(text, at)
        if text[at : at + 1] != b'"':
            raise NotSplitError
        colon = _skip(text, key_end)
        if text[colon : colon + 1] != b":":
            raise NotSplitError
        start = _skip(text, colon + 1)
        end = _end_of(text, start)
        members[text[at + 1 : key_end - 1]] = text[start:end]
        count += 1
        if count > MEMBERS_MAX:
            raise TooManyPartsError
        at = _next(text, end, b"}")
    return members


def split_array(text: bytes, count_max: int) -> list[bytes]:
    """Returns the elements of an array as written.

    Raises:
        TooManyPartsError: there are more than `count_max`.
        NotSplitError: no array, or something is wrong outside of its elements.
    """
    elements: list[bytes] = []
    at = _begin(text, b"[")
    while not _ends(text, at, b"]", is_first=not elements):
        end = _end_of(text, at)
        elements.append(text[at:end])
        if len(elements) > count_max:
            raise TooManyPartsError
        at = _next(text, end, b"]")
    return elements


def _begin(text: bytes, opening: bytes) -> int:
    at = _skip(text, 0)
    if text[at : at + 1] != opening:
        raise NotSplitError
    return _skip(text, at + 1)


def _ends(text: bytes, at: int, closing: bytes, *, is_first: bool) -> bool:
    """Whether the container ends here, which it may before its first part and after any."""
    if text[at : at + 1] != closing:
        return False
    if not is_first and text[:at].rstrip()[-1:] == b",":
        raise NotSplitError
    if text[at + 1 :].strip():
        raise NotSplitError
    return True


def _next(text: bytes, end: int, closing: bytes) -> int:
    """Returns where the next part begins, or the container ends."""
    at = _skip(text, end)
    if text[at : at + 1] == b",":
        return _skip(text, at + 1)
    if text[at : at + 1] != closing:
        raise NotSplitError
    return at


def _skip(text: bytes, at: int) -> int:
    found = _BLANK.match(text, at)
    return at if found is None else found.end()


def _end_of(text: bytes, at: int) -> int:
    """Returns the position after the value that begins at one."""
    first = text[at : at + 1]
    if first and first in _OPENING:
        depth = 0
        for found in _NESTING.finditer(text, at):
            kind, count = text[found.start()], found.end() - found.start()
            if kind in _OPENING:
                depth += count
            elif kind in _CLOSING:
                if depth <= count:
                    return found.start() + depth
                depth -= count
        raise NotSplitError
    scalar = (_STRING if first == b'"' else _SCALAR).match(text, at)
    if scalar is None:
        raise NotSplitError
    return scalar.end()
