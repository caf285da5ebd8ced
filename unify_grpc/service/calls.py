"""What surrounds every call: who calls, what for, how long, how many, and one line of log.

A method without a declared scope does not start. Deadlines, errors and the request id are dealt
with here, so that a servicer's method is four lines.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_status import rpc_status

from unify_grpc.machines.control_records import ADMIN_TOKEN, WRITE_KEY
from unify_grpc.service.errors import (
    DeadlinePassedError,
    NotBuiltError,
    RequestInvalidError,
    ScopeMissingError,
    ShardOverloadedError,
    UnifyError,
)
from unify_grpc.service.statuses import code_name, internal_status, status_of
from unify_grpc.telemetry.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from unify_grpc.service.directory import Caller, Space, SpaceDirectory
    from unify_grpc.service.draining import Draining

INGEST: Final = "ingest"
READ: Final = "read"
DELETE: Final = "delete"
ADMIN: Final = "admin"
RULES: Final = "rules"
OPEN: Final = "open"
"""Needs no key: health and, in `--dev`, reflection."""

SERVICE: Final = "/unify.v1."
SCOPES: Final[dict[str, str]] = {
    "IngestService/Ingest": INGEST,
    "IngestService/IngestStream": INGEST,
    "ProfileService/GetProfile": READ,
    "ProfileService/BatchGetProfiles": READ,
    "ProfileService/ListTraits": READ,
    "ProfileService/ListExternalIds": READ,
    "ProfileService/ListEvents": READ,
    "ProfileService/ListLinks": READ,
    "ProfileService/ListProfiles": READ,
    "ProfileService/ExplainIdentity": READ,
    "ProfileService/DeleteExternalIds": DELETE,
    "SpaceService/CreateSpace": ADMIN,
    "SpaceService/GetSpace": ADMIN,
    "SpaceService/ListSpaces": ADMIN,
    "SpaceService/GetRules": RULES,
    "SpaceService/SetRules": RULES,
    "SpaceService/RehearseRules": RULES,
    "SpaceService/CreateSource": ADMIN,
    "SpaceService/ListSources": ADMIN,
    "SpaceService/RevokeWriteKey": ADMIN,
    "SpaceService/CreateAccessToken": ADMIN,
    "SpaceService/ListAccessTokens": ADMIN,
    "SpaceService/RevokeAccessToken": ADMIN,
    "SpaceService/ListAuditEntries": ADMIN,
    "OperationsService/GetStatus": ADMIN,
    "OperationsService/ListViolations": READ,
    "OperationsService/TailEvents": READ,
    "OperationsService/Verify": ADMIN,
    "OperationsService/CreateBackup": ADMIN,
}
NOT_BUILT: Final = frozenset(
    {
        "SpaceService/RehearseRules",
    }
)
"""Described in the protos and answered UNIMPLEMENTED, after the credential was checked."""
OPEN_SERVICES: Final = ("/grpc.health.v1.", "/grpc.reflection.")

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_current: contextvars.ContextVar[Call] = contextvars.ContextVar("call")


@dataclass(slots=True)
class Call:
    """One RPC under way."""

    method: str
    request_id: str
    known_caller: Caller | None = None
    """None until the credential was checked."""
    deadline: float = 0.0
    """On the clock of `time.monotonic`."""
    directory: SpaceDirectory | None = None
    """Where the caller was found."""

    @property
    def caller(self) -> Caller:
        """Who calls."""
        assert self.known_caller is not None, "a call is served after its credential was checked"
        return self.known_caller

    def check_again(self) -> None:
        """Looks the caller up again, in the middle of a long call: keys are revoked, rules change.

        Raises:
            CredentialInvalidError: the key does not hold any more.
            ShardUnavailableError: nobody can be let in at the moment.
        """
        assert self.directory is not None, "a call is served after its credential was checked"
        self.known_caller = self.directory.check_again(self.caller)

    @property
    def remaining_s(self) -> float:
        """How long the caller still waits, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    @property
    def space(self) -> Space:
        """The one space that the call is about."""
        if self.caller.space is None:
            raise RequestInvalidError([("unify-space", "an admin token names a space here")])
        return self.caller.space


def current_call() -> Call:
    """Returns the call that is being served."""
    return _current.get()


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every method of ours."""

    def __init__(
        self,
        directory: SpaceDirectory,
        draining: Draining,
        *,
        calls_concurrent_max: int,
        deadline_s_default: float,
    ) -> None:
        self._directory = directory
        self._draining = draining
        self._calls_concurrent_max = calls_concurrent_max
        self._deadline_s_default = deadline_s_default
        self._calls = 0
        self._log = get_logger("gateway")

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the method's handler with everything around it."""
        details = handler_call_details
        handler = await continuation(details)
        method = details.method
        if handler is None or method.startswith(OPEN_SERVICES):
            return handler
        name = method.removeprefix(SERVICE)
        metadata = dict(details.invocation_metadata)
        read = _reading(handler.request_deserializer)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._wrap_stream(handler.stream_stream, name, metadata, read),
                _unread,
                handler.response_serializer,
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._wrap_stream(handler.unary_stream, name, metadata, read),
                _unread,
                handler.response_serializer,
            )
        return grpc.unary_unary_rpc_method_handler(
            self._wrap_unary(handler.unary_unary, name, metadata, read),
            _unread,
            handler.response_serializer,
        )

    def _wrap_unary(
        self,
        serve: Callable[..., Any],
        name: str,
        metadata: dict[str, Any],
        read: Callable[[bytes], Any],
    ) -> Any:
        async def wrapped(data: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            call = await self._begin(name, metadata, context, self._deadline_s_default)
            request = read(data)
            check_readable(request)
            try:
                async with asyncio.timeout(call.remaining_s):
                    return await serve(request, context)
            except TimeoutError:
                raise DeadlinePassedError from None

        async def served(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            return await self._serve(lambda: wrapped(request, context), name, metadata, context)

        return served

    def _wrap_stream(
        self,
        serve: Callable[..., Any],
        name: str,
        metadata: dict[str, Any],
        read: Callable[[bytes], Any],
    ) -> Any:
        async def wrapped(
            request: Any, context: grpc.aio.ServicerContext[Any, Any], send: Callable[..., Any]
        ) -> None:
            await self._begin(name, metadata, context, None)
            if hasattr(request, "__aiter__"):
                request = _read_each(request, read)
            else:
                request = read(request)
                check_readable(request)
            async for response in serve(request, context):
                await send(response)

        async def served(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            await self._serve(
                lambda: wrapped(request, context, context.write), name, metadata, context
            )

        return served

    @property
    def calls_count(self) -> int:
        """How many calls are under way."""
        return self._calls

    def _check_room(self) -> None:
        self._draining.check()
        if self._calls > self._calls_concurrent_max:
            raise ShardOverloadedError("Too many calls are under way; try again after a pause.")

    async def _begin(
        self,
        name: str,
        metadata: dict[str, Any],
        context: grpc.aio.ServicerContext[Any, Any],
        deadline_s_default: float | None,
    ) -> Call:
        """Lets a call in, or raises why not."""
        call = _current.get()
        call.known_caller = await self._directory.authenticate(
            _text(metadata.get("authorization")), _text(metadata.get("unify-space"))
        )
        call.directory = self._directory
        check_scope(call.caller, SCOPES[name])
        if name in NOT_BUILT:
            raise NotBuiltError
        remaining = context.time_remaining()
        if remaining is None:
            remaining = deadline_s_default if deadline_s_default is not None else float("inf")
        call.deadline = time.monotonic() + remaining
        return call

    async def _serve(
        self,
        serve: Callable[[], Awaitable[Any]],
        name: str,
        metadata: dict[str, Any],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> Any:
        """Serves a call, turns what it raises into a status, and logs one line."""
        started = time.perf_counter()
        given = _text(metadata.get("x-request-id"))
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        call = Call(name, request_id)
        _current.set(call)
        code, reason = "OK", ""
        status = None
        self._calls += 1
        try:
            self._check_room()
            return await serve()
        except UnifyError as error:
            status, reason = status_of(error), error.reason
        except (asyncio.CancelledError, grpc.aio.AbortError):
            code = "CANCELLED"
            raise
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets an answer
            if context.done():  # the caller has hung up, which surfaces as some error or other
                code = "CANCELLED"
                raise asyncio.CancelledError from None
            self._log.exception("rpc_failed", method=name, request_id=request_id)
            status, reason = internal_status(request_id), "INTERNAL"
        finally:
            self._calls -= 1
            if status is not None:
                code = code_name(status)
            self._log.info(
                "rpc_finished",
                method=name,
                code=code,
                reason=reason,
                space_id=_space_id(call),
                duration_ms=round((time.perf_counter() - started) * 1000, 3),
                request_id=request_id,
            )
        await context.abort_with_status(rpc_status.to_status(status))
        return None


class Unreadable:
    """Stands for a request that could not be parsed, so that it is answered like any other."""


def _unread(data: bytes) -> bytes:
    """Leaves a request as it is until its caller is known: parsing costs far more than sending."""
    return data


async def _read_each(requests: AsyncIterator[bytes], read: Callable[[bytes], Any]) -> Any:
    async for data in requests:
        yield read(data)


def _reading(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except Exception:  # noqa: BLE001 - the library raises its own, of several classes
            return Unreadable()

    return read


def check_readable(request: object) -> None:
    """Refuses a request that could not be parsed."""
    if isinstance(request, Unreadable):
        raise RequestInvalidError([("", "the message is not of the method's request type")])


def check_scope(caller: Caller, needed: str) -> None:
    """Refuses a caller whose key or token does not allow what is needed (`ScopeMissingError`)."""
    kind = caller.credential.kind
    if needed == INGEST:
        allowed = kind == WRITE_KEY
    elif kind == ADMIN_TOKEN:
        allowed = True
    elif kind == WRITE_KEY:
        allowed = False
    else:
        allowed = caller.has(needed)
    if not allowed:
        raise ScopeMissingError(scope=needed)


def _space_id(call: Call) -> str:
    caller = call.known_caller
    return caller.space.record.space_id if caller is not None and caller.space is not None else ""


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("ascii", "replace")
    return value if isinstance(value, str) else ""


def check_scopes(methods: list[str]) -> None:
    """Refuses to start with a method that nobody said who may call."""
    missing = [method for method in methods if method not in SCOPES]
    if missing:
        raise AssertionError("no scope is declared for " + ", ".join(missing))
