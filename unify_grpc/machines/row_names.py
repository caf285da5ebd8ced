"""How rows are named in logs and findings: by table and key, and never by anybody's identifier."""

from __future__ import annotations

from hashlib import blake2b

from unify_grpc.machines.found_by import BY_PREFIX


def row_name(key: bytes) -> str:
    """Returns a row's table and its key, which is a hash or a number.

    A row by which an identifier is found has its text in the key, so that is hashed here.
    """
    table, rest = key[:1], key[1:]
    if table == BY_PREFIX:
        rest = blake2b(rest, digest_size=8).digest()
    letter = table.decode() if table.isalpha() else table.hex()
    return f"row {letter} {rest.hex()}".rstrip()
