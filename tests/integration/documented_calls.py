"""Calls made up from the OpenAPI document, by schemathesis, and what has to hold of each answer."""

from __future__ import annotations

import base64
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from unify_grpc.http.openapi import build_document

if TYPE_CHECKING:
    import requests
    from schemathesis import APIOperation, Case

    Operation = APIOperation[Any, Any, Any, Any]

CHECKS: Final[list[Any]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    ignored_auth,
]
"""A status of 5xx fails, documented or not: the service is well, and not in a hurry."""


def operations() -> dict[str, Operation]:
    """Returns the operations of the document, by method and path."""
    schema = schemathesis.openapi.from_dict(build_document())
    read = [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]
    return {each.label: each for each in read}


class Caller:
    """Makes calls of operations up, and checks their answers."""

    def __init__(self, base_url: str, session: requests.Session, known: dict[str, str]) -> None:
        """Takes the service, and values of parameters in paths that name what is there."""
        self._base_url = base_url
        self._session = session
        self._known = known

    def call(self, operation: Operation, key: str, **parts: Any) -> Any:
        """Makes one call, of parts such as `query` and `body`, and returns its JSON.

        Raises:
            AssertionError: the answer is not as documented.
        """
        case = operation.Case(path_parameters=self._known_of(operation), **parts)
        return self._answer(case, key).json()

    def try_out(self, operation: Operation, keys: list[str], examples: int) -> Counter[int]:
        """Makes calls of an operation, and returns how many had which status.

        They are as the document says, with a path that is known or not, or in some place not; with
        one of some keys.

        Raises:
            AssertionError: an answer is not as documented.
        """
        statuses: Counter[int] = Counter()
        known = self._known_of(operation) or None
        cases = [
            operation.as_strategy(GenerationMode.POSITIVE, path_parameters=known),
            operation.as_strategy(GenerationMode.POSITIVE),
            operation.as_strategy(GenerationMode.NEGATIVE),
        ]
        if known and operation.query:
            cases.append(operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=known))

        @settings(max_examples=examples)
        @given(case=st.one_of(cases), key=st.sampled_from(keys))
        def call(case: Case[Any], key: str) -> None:
            statuses[self._answer(case, key).status_code] += 1

        call()
        return statuses

    def _known_of(self, operation: Operation) -> dict[str, str]:
        names = {each.name for each in operation.path_parameters}
        return {name: value for name, value in self._known.items() if name in names}

    def _answer(self, case: Case[Any], key: str) -> Any:
        authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode()
        response = case.call(
            base_url=self._base_url,
            session=self._session,
            headers={"Authorization": authorization},
            timeout=60,
        )
        case.validate_response(response, checks=CHECKS)
        return response
