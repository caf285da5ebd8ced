"""What a gateway's HTTP side counts, and the text in which monitoring collects it."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counts:
    """Counters since the start of this process. No label comes from a caller."""

    def __init__(self) -> None:
        self._started_s = time.time()
        self.calls = 0
        """Under way."""
        self.reading = 0
        """Of them, those whose bodies are arriving."""
        self.unknown = 0
        """Of these, those whose callers are not known yet."""
        self.unknown_bytes = 0
        """What these have sent, decompressed."""
        self.held = 0
        """Of them, those whose refusal is held back."""
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By (route, status, code): why a call was refused, as the engine names it, or nothing."""
        self.events: Counter[str] = Counter()
        """By what became of them."""

    def text(self, *, is_ready: bool, queued_events: int) -> str:
        """Returns all of them in Prometheus' text format."""
        lines = [
            *_metric(
                "unify_http_requests_total",
                "counter",
                "HTTP requests by route, status and why they were refused.",
                {
                    f'{{route="{route}",status="{status}"{_label("code", code)}}}': number
                    for (route, status, code), number in self.requests.items()
                },
            ),
            *_metric(
                "unify_http_events_total",
                "counter",
                "Events over HTTP by what became of them.",
                {f'{{outcome="{name}"}}': n for name, n in self.events.items()},
            ),
            *_metric("unify_http_calls", "gauge", "HTTP calls under way.", {"": self.calls}),
            *_metric(
                "unify_queued_events",
                "gauge",
                "Events of this gateway that wait for shards.",
                {"": queued_events},
            ),
            *_metric("unify_ready", "gauge", "Whether calls are taken.", {"": int(is_ready)}),
            *_metric(
                "process_start_time_seconds",
                "gauge",
                "When this gateway began to count, in seconds since 1970.",
                {"": round(self._started_s, 3)},
            ),
        ]
        return "\n".join(lines) + "\n"


def _label(name: str, value: str) -> str:
    """Returns a further label; none where there is no value."""
    return f',{name}="{value}"' if value else ""


def _metric(name: str, kind: str, text: str, values: Mapping[str, float]) -> Iterable[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in sorted(values.items()):
        yield f"{name}{labels} {value}"
