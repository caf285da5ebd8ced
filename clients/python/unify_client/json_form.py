"""How objects of Python become JSON: compact, in UTF-8, and standard or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from unify_client.errors import ArgumentInvalid

JsonObject = Mapping[str, Any]
"""What JSON can write; times with a zone are written as ISO 8601."""


class _NoForm(Exception):  # noqa: N818  never leaves this module
    """Says what JSON has no form for."""


def json_bytes(field: str, value: object) -> bytes:
    """Returns an object as compact JSON in UTF-8.

    Raises ArgumentInvalid, naming the field and never a value, for what standard JSON cannot hold.
    """
    if not isinstance(value, Mapping):
        raise ArgumentInvalid(f"{field} is not an object with names and values.")
    try:
        text = json.dumps(
            value if isinstance(value, dict) else dict(value),
            allow_nan=False,
            ensure_ascii=False,
            separators=(",", ":"),
            default=_json_form,
        )
        return text.encode()
    # The library's own texts may repeat the value, so they are left behind.
    except UnicodeEncodeError:
        fault = "holds half of a surrogate pair"
    except _NoForm as error:
        fault = str(error)
    except TypeError:
        fault = "holds a name that is not a text"
    except ValueError:
        fault = "holds NaN, an infinity or itself"
    except RecursionError:
        fault = "is nested too deep"
    raise ArgumentInvalid(f"{field} {fault}.")


def _json_form(value: object) -> Any:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise _NoForm("holds a time without a zone")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise _NoForm(f"holds a {type(value).__name__}, which JSON does not have")
