"""What every command shares that talks to a service: whom it talks to, and how it fails.

The client is imported when a command runs, so that `unify --help` waits for none of it.
"""

from __future__ import annotations

import functools
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from actors.commands.encryption import Encryption, encrypts
from actors.commands.printing import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from unify_client import FieldViolation, ServiceError, UnifyClient

# Long enough for a part of the service that restarts, short enough for whoever waits at a prompt.
PATIENCE_S = 5.0
TIMEOUT_S = 30.0
_DOCUMENT_FIELD = "rules_json."
_SPACE_FIELD = "unify-space"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options of every command say."""

    address: str
    token: str
    is_json: bool
    encryption: Encryption

    def client(self, space: str | None = None, *, patience_s: float = PATIENCE_S) -> UnifyClient:
        """Returns a client; `space` is the one that an admin token reads, where it matters."""
        from unify_client import RetryPolicy, UnifyClient

        return UnifyClient(
            self.address,
            key=self.token,
            space=space,
            timeout_s=TIMEOUT_S,
            tls=self.encryption.config(),
            retry=RetryPolicy(deadline_s=patience_s),
        )


class CallFailedError(click.ClickException):
    """A command that could not be carried out: one line, and one for each of several faults."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults

    def show(self, file: Any = None) -> None:
        """Says why, on stderr."""
        for line in (f"unify: {self.message}", *(f"  {fault}" for fault in self.faults)):
            click.echo(printable(line), file=file, err=True)


def asks_service(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command what names a service, and `--json`, as `Asked`; and errors in one line."""

    @reaches_service(needs_token=True)
    @functools.wraps(command)
    def wrapped(
        *arguments: Any,
        address: str,
        token: str,
        is_json: bool,
        encryption: Encryption,
        **options: Any,
    ) -> None:
        with asking():
            asked = Asked(address=address, token=token, is_json=is_json, encryption=encryption)
            command(asked, *arguments, **options)

    return wrapped


def reaches_service(*, needs_token: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Returns what gives a command `--address`, `--token`, `--json`, and what encrypts."""
    options = (
        click.option(
            "--address",
            envvar="UNIFY_ADDRESS",
            default="127.0.0.1:50051",
            show_default=True,
            show_envvar=True,
            help="Host and port of the service.",
        ),
        click.option(
            "--token",
            envvar="UNIFY_TOKEN",
            required=needs_token,
            show_envvar=True,
            help="An access token or an admin token.",
        ),
        encrypts,
        click.option("--json", "is_json", is_flag=True, help="Print JSON, for programs."),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@contextmanager
def asking() -> Iterator[None]:
    """Says in one line what goes wrong with calls."""
    # What went wrong is said once, by us; gRPC would put a line of its log beside it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from unify_client import ArgumentInvalid, ServiceError, UnifyClientError

    try:
        yield
    except ServiceError as error:
        raise _refusal(error) from None
    except ArgumentInvalid as error:
        raise click.UsageError(str(error)) from None
    except UnifyClientError as error:
        raise CallFailedError(str(error)) from None


def reads_space(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command `--space`: an access token has its own, an admin token names one."""
    return click.option("--space", help="Id or name of the space; for an admin token.")(command)


def needs_space(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command a `--space` that has to be named."""
    return click.option("--space", required=True, help="Id or name of the space.")(command)


def _refusal(error: ServiceError) -> CallFailedError:
    said = f"{error.reason or error.code}: "
    request = f" [request {error.request_id}]"
    faults = tuple(map(_fault, error.violations))
    if len(faults) > 1:
        return CallFailedError(f"{said}{len(faults)} faults{request}", faults)
    return CallFailedError(said + (faults[0] if faults else error.detail) + request)


def _fault(violation: FieldViolation) -> str:
    # To whoever wrote a file of rules, its fields are those of the file.
    field = violation.field.removeprefix(_DOCUMENT_FIELD) or "request"
    field = "--space" if field == _SPACE_FIELD else field
    return f"{field}: {violation.description}"
