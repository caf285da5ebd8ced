"""An identifier, its one normal form, and the key it is stored under.

Folding is kept as small as it can be: every further equality (case of names, look-alike letters,
dots in mail addresses) would join two people somewhere.
"""

from __future__ import annotations

import re
import unicodedata
from hashlib import blake2b
from typing import Final, NamedTuple

USERS: Final = "users"
ACCOUNTS: Final = "accounts"
COLLECTIONS: Final = frozenset({USERS, ACCOUNTS})

USER_ID: Final = "user_id"
ANONYMOUS_ID: Final = "anonymous_id"
EMAIL: Final = "email"
GROUP_ID: Final = "group_id"
GA_CLIENT_ID: Final = "ga_client_id"

DEVICE_TYPES: Final = {
    platform: (f"{platform}.id", f"{platform}.idfa", f"{platform}.push_token")
    for platform in ("android", "ios")
}
"""`{context.device.type: (type of id, of advertisingId, of token)}`."""

BUILT_IN_TYPES: Final = frozenset(
    {USER_ID, ANONYMOUS_ID, EMAIL, GROUP_ID, GA_CLIENT_ID}.union(*DEVICE_TYPES.values())
)
"""The types with a place of their own in an event; no space counts them as new."""

VALUE_BYTES_MAX: Final = 256
GROUP_ID_CHARS_MAX: Final = 500
INTEGER_MAGNITUDE_MAX: Final = 2**53 - 1
"""Above it a double no longer tells neighbours apart, so two callers could become one."""
KEY_BYTES: Final = 16
SECRET_BYTES_MAX: Final = 64
PREFIXES_CACHED_MAX: Final = 1024

# Unicode White_Space. `str.strip()` alone would also take U+001C to U+001F, which are control
# characters and make a value invalid.
WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

_UNSTORABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, surrogates
_TYPE_NAME = re.compile(r"[a-z0-9_.-]{1,64}")
_LOWER_A_TO_Z = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Identifier(NamedTuple):
    """A normalised identifier. Equal tuples mean the same person or account in one space."""

    collection: str
    type: str
    value: str


class KeyMaker:
    """Makes the storage keys of one space.

    Keyed with the space's secret: identifiers come from browsers, and with a plain hash somebody
    could craft two that collide and so join two people. Equal identifiers of two spaces get
    unrelated keys.
    """

    __slots__ = ("_keyed", "_prefixes")

    def __init__(self, secret: bytes) -> None:
        """Takes the space's secret, 1 to 64 bytes; anything else raises `ValueError`."""
        if not 1 <= len(secret) <= SECRET_BYTES_MAX:
            message = f"a space's secret has 1 to {SECRET_BYTES_MAX} bytes"
            raise ValueError(message)
        self._keyed = blake2b(digest_size=KEY_BYTES, key=secret)
        self._prefixes: dict[tuple[str, str], blake2b] = {}

    def key(self, identifier: Identifier) -> bytes:
        """The 16 bytes an identifier is known by. It must be normalised."""
        collection, type_name, value = identifier
        prefix = self._prefixes.get((collection, type_name))
        if prefix is None:
            prefix = self._prefix(collection, type_name)
        state = prefix.copy()
        state.update(value.encode())
        return state.digest()

    def _prefix(self, collection: str, type_name: str) -> blake2b:
        """The state after the collection and type, each led by its length: no two frames meet."""
        prefix = self._keyed.copy()
        for part in (collection.encode(), type_name.encode()):
            prefix.update(len(part).to_bytes(4, "big") + part)
        if len(self._prefixes) >= PREFIXES_CACHED_MAX:
            self._prefixes.clear()
        self._prefixes[collection, type_name] = prefix
        return prefix


def is_type_name(type: str) -> bool:  # noqa: A002  the word of the contract
    """Whether a text can name a type: 1 to 64 of a-z, 0-9, `_`, `.`, `-`."""
    return _TYPE_NAME.fullmatch(type) is not None


def lower_a_to_z(text: str) -> str:
    """Lower-cases the letters A to Z, and no other, of a text in NFC; the answer is in NFC."""
    if text.isascii():
        return text.lower()
    # Again, for "T" plus a diaeresis has no composed form and "t" plus one has.
    return unicodedata.normalize("NFC", text.translate(_LOWER_A_TO_Z))


def normalise_value(
    type: str,  # noqa: A002  the word of the contract
    value: object,
    *,
    lowercase_email: bool,
) -> str | None:
    """The normal form of a value seen in an event or named in a look-up.

    Text is trimmed of Unicode white space and put into NFC; whole numbers below 2**53 become
    decimals, so 5, 5.0 and "5" are one identifier. Applying it twice changes nothing.

    Returns:
        The text, or None if the value cannot identify anybody. The caller treats None and absent
        values itself: they are no value at all.
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable():  # nearly all are: nothing to compose or refuse
            text = value.strip(" ")
            if lowercase_email and type == EMAIL:
                text = text.lower()
        else:
            composed = _compose(value)
            if composed is None:
                return None
            text = lower_a_to_z(composed) if lowercase_email and type == EMAIL else composed
    elif isinstance(value, bool) or not isinstance(value, int | float):
        return None
    elif not -INTEGER_MAGNITUDE_MAX <= value <= INTEGER_MAGNITUDE_MAX or value != int(value):
        return None  # NaN and the infinities fail the first comparison
    else:
        return str(int(value))
    # A character has at most 4 bytes, so the text is only encoded where that could matter.
    if 0 < len(text) <= VALUE_BYTES_MAX // 4 or (type == GROUP_ID and text):
        return text if len(text) <= GROUP_ID_CHARS_MAX else None
    return text if 0 < len(text.encode()) <= VALUE_BYTES_MAX else None


def _compose(value: str) -> str | None:
    """Trims and composes any text; None if it has control characters or surrogates."""
    text = unicodedata.normalize("NFC", value.strip(WHITE_SPACE))
    return None if _UNSTORABLE.search(text) else text
