"""What holds for all tiers: repeatable property tests, and cases left out that are said to be."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    import pytest

# The same examples on every run: what fails here fails everywhere. `--hypothesis-profile=search`
# draws new ones.
settings.register_profile(
    "fixed",
    max_examples=120,
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    # Not `explain`: it traces every line, and a failure would end in the timeout of its test.
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "search", parent=settings.get_profile("fixed"), max_examples=5_000, derandomize=False
)
settings.load_profile("fixed")

# A shell has what it runs in the background, and all that starts, be deaf to interrupts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the cases and tests that were not run, with the reason, whatever `-r` says."""
    from tests.conformance.runner import NOT_RUN_PREFIX

    reasons: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        if not isinstance(report.longrepr, tuple):
            continue
        reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        if reason.startswith(NOT_RUN_PREFIX):
            reasons.setdefault(reason, []).append(report.nodeid)
    if not reasons:
        return
    terminalreporter.section("cases and tests not run here")
    for reason, nodes in sorted(reasons.items()):
        terminalreporter.line(reason.removeprefix(NOT_RUN_PREFIX) + ":")
        for node in sorted(nodes):
            terminalreporter.line("  " + node)
