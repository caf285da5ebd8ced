"""`unify verify`: does everything hold that must hold, of stopped stores or of running ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from actors.commands.connecting import Asked, CallFailedError, asking, reaches_service
from actors.commands.encryption import Encryption
from actors.commands.printing import print_json, printable

if TYPE_CHECKING:
    from collections.abc import Iterable

FOUND = 1


class NotCheckedError(CallFailedError):
    """Nothing can be said about the stores, not even that something is wrong with them."""

    exit_code = 2


@click.command()
@click.option("--data-dir", type=click.Path(path_type=Path), help="Of a service that is stopped.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=1),
    default=24 * 3600.0,
    show_default=True,
    help="Seconds to wait for a running service.",
)
@reaches_service(needs_token=False)
def verify(
    *,
    data_dir: Path | None,
    timeout_s: float,
    address: str,
    token: str | None,
    is_json: bool,
    encryption: Encryption,
) -> None:
    """Checks every record and every invariant, and changes nothing.

    With --data-dir the stores of a stopped service; otherwise those of the running service at
    --address, with an admin token and little of its time. Exit codes: 0 everything holds, 1
    something does not, 2 it could not be checked.
    """
    if data_dir is None and not token:
        raise click.UsageError("Name the --data-dir of a stopped service, or give a --token.")
    try:
        if data_dir is not None:
            code = _verify_stopped(data_dir, is_json=is_json)
        else:
            asked = Asked(
                address=address, token=token or "", is_json=is_json, encryption=encryption
            )
            code = _verify_running(asked, timeout_s)
    except CallFailedError as error:
        raise NotCheckedError(error.message, error.faults) from None
    except click.ClickException:
        raise
    except KeyboardInterrupt:
        raise NotCheckedError("it was interrupted before its end") from None
    except Exception as error:  # its code must not say that something is wrong
        raise NotCheckedError(f"it ended unexpectedly: {type(error).__name__}") from error
    sys.exit(code)


def _verify_stopped(directory: Path, *, is_json: bool) -> int:
    from actors.stopped_stores import verify_stopped
    from unify_grpc.storage.errors import StoreHeldError, StoreRefusedError

    try:
        report = verify_stopped(directory)
    except StoreHeldError:
        raise CallFailedError(
            f"{directory} is being served: verify it by --address and an admin token"
        ) from None
    except (StoreRefusedError, OSError) as error:
        raise CallFailedError(str(error)) from None
    return _print(report.findings, report.findings_count, report.records_count, is_json=is_json)


def _verify_running(asked: Asked, timeout_s: float) -> int:
    with asking(), asked.client() as client:
        verified = client.verify(timeout_s=timeout_s)
    findings = [(each.part, each.invariant, each.description) for each in verified.findings]
    return _print(
        findings, verified.findings_count, verified.records_checked_count, is_json=asked.is_json
    )


def _print(
    findings: Iterable[tuple[str, str, str]], count: int, records_count: int, *, is_json: bool
) -> int:
    """Prints a line for each finding, and one that closes; returns the exit code."""
    findings = list(findings)
    if is_json:
        print_json(
            {
                "sound": not count,
                "findings": [
                    {"part": part, "invariant": invariant, "description": text}
                    for part, invariant, text in findings
                ],
                "findings_count": count,
                "records_checked_count": records_count,
            }
        )
        return FOUND if count else 0
    for part, invariant, text in findings:
        click.echo(printable(f"{part}: {invariant}: {text}"))
    shown = "" if len(findings) == count else f", the first {len(findings)} shown"
    verdict = f"{count} findings{shown}" if count else "sound"
    click.echo(f"{verdict}: {records_count} records checked")
    return FOUND if count else 0
