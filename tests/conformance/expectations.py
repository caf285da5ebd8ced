"""What a conformance case expects, checked against anything that can take events in.

A backend is the reference, the engine in process, a simulation or a running service. `check_case`
sends a case's events and returns one sentence for each expectation that does not hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Case = dict[str, Any]

#: Segment's names of what a violation says, and ours.
REASONS = {
    "Identifier value limit exceeded": "LIMIT_EXCEEDED",
    "Identifier value time limit exceeded": "WINDOW_LIMIT_EXCEEDED",
    "ID value blocked": "BLOCKED",
    "Profile merge limit exceeded": "MERGE_CAP",
    "Identifier mapping limit exceeded": "IDENTIFIER_CAP",
    "No matching identifiers on event": "NO_IDENTIFIER",
}
#: What a deletion may say where Segment answers (status, error code).
DELETION_CODES = {
    (200, ""): {"deleted"},
    (400, "bad_request"): {"not_one", "looked_up_by"},
    (400, "unsupported_eid_type"): {"group_id"},
    (404, "eid_not_found"): {"not_on_profile"},
    (404, "not_found"): {"no_profile"},
}
#: Facts of the cases that the design decided against: (case, look-up or action) -> why.
NOT_OURS = {
    ("seg-query-03-lowercase", "email:Mixed@Example.com"): (
        "it wants a 404 for capitals, and a looked-up value is normalised like a promoted one"
    ),
    ("seg-del-03-replay-reintroduces", "replay"): (
        "it wants a replayed message to act again, and a message already stored stays known"
    ),
}


class SendResult(Protocol):
    """What a backend says of one event."""

    @property
    def status(self) -> str:
        """STORED, DUPLICATE or REJECTED."""

    @property
    def reason(self) -> str | None:
        """Of a rejection."""

    @property
    def outcome(self) -> str | None:
        """CREATED, ATTACHED or MERGED, of the user side if there is one; None if nothing linked."""

    @property
    def drops(self) -> Sequence[Sequence[str]]:
        """(collection, type, value, reason) of each drop, in any order."""

    @property
    def segment_id(self) -> str | None:
        """Resolves to the event's profile; None or empty if there is none."""


class ConformanceBackend(Protocol):
    """One space, made with the case's rules. Identifiers of look-ups are `type:value`."""

    def send(self, event: dict[str, Any]) -> SendResult:
        """Sends one Segment message and waits until it is resolved."""

    def set_limit(self, type_: str, limit: int | None) -> None:
        """Changes one type's limit, counted for ever, for the events after this call."""

    def delete(self, lookup: str, identifiers: Sequence[str]) -> str:
        """Deletes identifiers from the profile of `lookup`; returns a code of `DELETION_CODES`."""

    def partition(self, collection: str) -> set[frozenset[str]]:
        """Every profile of the collection as the set of its identifiers."""

    def traits(self, identifier: str, collection: str = "users") -> dict[str, Any]:
        """All traits of the identifier's profile."""

    def events(self, identifier: str, collection: str = "users") -> Sequence[str]:
        """Message ids of the history of the identifier's profile, in any order."""

    def segment_id(self, identifier: str, collection: str = "users") -> str | None:
        """Canonical segment_id of the identifier's profile; None if there is none."""

    def canonical(self, segment_id: str) -> str:
        """The canonical segment_id of a segment_id handed out earlier."""

    def merges(self) -> int | None:
        """Profiles absorbed so far in the space; None where the backend does not count."""


class Run(NamedTuple):
    """A case after its events were sent."""

    case: Case
    backend: ConformanceBackend
    results: list[SendResult | None]
    """By position in the case; None for an action."""
    segments: list[str | None]
    """What the segment_id of each event stood for right after it."""
    codes: list[tuple[str, set[str]]]
    """What each deletion said, and what it may say."""


def why_not_run(
    case: Case,
    *,
    actions: frozenset[str] = frozenset({"set_limit", "delete_identifier"}),
    takes_received_at: bool = True,
) -> str | None:
    """Why the case cannot be run on a backend, or None if it can be.

    Args:
        case: the case.
        actions: the actions that the backend can do.
        takes_received_at: whether a `receivedAt` of the event is the backend's time of receipt.
    """
    if case.get("needs_received_at") and not takes_received_at:
        return "it states when its events were received"
    if case["expect"].get("not_runnable"):
        return "the case says that it cannot be run"
    wanted = {event["_action"] for event in case["events"] if "_action" in event}
    for action in sorted(wanted):
        if (case["id"], action) in NOT_OURS:
            return NOT_OURS[case["id"], action]
    missing = wanted - actions
    return f"actions not supported: {', '.join(sorted(missing))}" if missing else None


def check_case(case: Case, backend: ConformanceBackend) -> list[str]:
    """Sends the case's events and returns what does not hold, empty when all does.

    Raises ValueError for an action that is not built: ask `why_not_run` first.
    """
    run = _send_all(case, backend)
    expected = case["expect"]
    return [
        f"a deletion says {code}, not {' or '.join(sorted(told))}"
        for code, told in run.codes
        if code not in told
    ] + [
        f"{name}: {problem}"
        for name, check in CHECKS.items()
        if name in expected
        for problem in check(run, expected[name])
    ]


def unchecked(case: Case) -> list[str]:
    """The case's expectations that no check here covers, but for its remarks."""
    return sorted(
        set(case["expect"])
        - set(CHECKS)
        - {"notes", "not_runnable", "concurrency", "event_owner_peer"}
    )


def _send_all(case: Case, backend: ConformanceBackend) -> Run:
    run = Run(case, backend, [], [], [])
    for event in case["events"]:
        if event.get("_action") == "set_limit":
            backend.set_limit(event["type"], event["limit"])
            result = None
        elif event.get("_action") == "delete_identifier":
            wanted = event["body"]["delete_external_ids"]
            code = backend.delete(event["lookup"], [f"{e['type']}:{e['id']}" for e in wanted])
            told = DELETION_CODES[event["status"], event.get("error", {}).get("code", "")]
            run.codes.append((code, told))
            result = None
        elif "_action" in event:
            message = f"{case['id']}: {event['_action']} is not an action that can be run"
            raise ValueError(message)
        else:
            result = backend.send(event)
        run.results.append(result)
        segment_id = result.segment_id if result else None
        run.segments.append(backend.canonical(segment_id) if segment_id else None)
    return run


def _identifier(text: str) -> str:
    """An expected identifier as a profile lists it: Segment's samples have e-mail capitals."""
    if not text.startswith("email:"):
        return text
    return "".join(each.lower() if each.isascii() else each for each in text)


def _check_partition(
    run: Run, expected: list[list[str]], collection: str = "users"
) -> Iterator[str]:
    wanted = {frozenset(_identifier(each) for each in profile) for profile in expected}
    found = run.backend.partition(collection)
    for profile in sorted(map(sorted, wanted - found)):
        yield f"no profile is {profile}"
    for profile in sorted(map(sorted, found - wanted)):
        yield f"a profile is {profile}"


def _check_partition_accounts(run: Run, expected: list[list[str]]) -> Iterator[str]:
    return _check_partition(run, expected, "accounts")


def _check_unattached(run: Run, expected: list[str]) -> Iterator[str]:
    attached = frozenset[str]().union(*run.backend.partition("users"))
    for identifier in expected:
        if _identifier(identifier) in attached:
            yield f"{identifier} is in a profile"
        if run.backend.segment_id(identifier) is not None:
            yield f"{identifier} is found"


def _check_traits(run: Run, expected: dict[str, Any], collection: str = "users") -> Iterator[str]:
    for identifier, wanted in expected.items():
        found = run.backend.traits(identifier, collection)
        for name, value in wanted.items():
            if name not in found:
                yield f"{identifier} has no {name}"
            elif found[name] != value:
                yield f"{identifier} has {name} = {found[name]!r}, not {value!r}"


def _check_account_traits(run: Run, expected: dict[str, Any]) -> Iterator[str]:
    return _check_traits(run, expected, "accounts")


def _check_traits_absent(
    run: Run, expected: dict[str, list[str]], collection: str = "users"
) -> Iterator[str]:
    for identifier, names in expected.items():
        for name in set(names) & set(run.backend.traits(identifier, collection)):
            yield f"{identifier} has {name}"


def _check_account_traits_absent(run: Run, expected: dict[str, list[str]]) -> Iterator[str]:
    return _check_traits_absent(run, expected, "accounts")


def _check_merges(run: Run, expected: int) -> Iterator[str]:
    found = run.backend.merges()
    if found not in (None, expected):
        yield f"{found}, not {expected}"


def _check_survivor(run: Run, expected: int) -> Iterator[str]:
    """The profile of that event keeps its id, and whoever was absorbed resolves to it."""
    survivor = run.segments[expected]
    if survivor is None or run.backend.canonical(survivor) != survivor:
        yield f"the profile of event {expected} did not survive"
    for index, segment in enumerate(run.segments):
        final = run.backend.canonical(segment) if segment else None
        if final not in (segment, survivor):
            yield f"the profile of event {index} was absorbed by another"


def _check_stable(run: Run, expected: list[int]) -> Iterator[str]:
    """The case counts its events from 1."""
    segments = {run.segments[number - 1] for number in expected}
    if len(segments) != 1 or None in segments:
        yield f"events {expected} see {len(segments)} ids"


def _message_id(run: Run, index: int) -> str:
    return str(run.case["events"][index]["messageId"])


def _check_event_profile(run: Run, expected: dict[str, str]) -> Iterator[str]:
    for index, identifier in expected.items():
        if _message_id(run, int(index)) not in run.backend.events(identifier):
            yield f"event {index} is not in the profile of {identifier}"


def _check_event_owners(run: Run, expected: list[str]) -> Iterator[str]:
    return _check_event_profile(run, {str(index): each for index, each in enumerate(expected)})


def _check_events_of_person(run: Run, expected: dict[str, Any]) -> Iterator[str]:
    wanted = sorted(_message_id(run, index) for index in expected["events"])
    found = sorted(run.backend.events(expected["id"]))
    if found != wanted:
        yield f"{found}, not {wanted}"


def _check_events(
    run: Run, expected: dict[str, list[str]], collection: str = "users"
) -> Iterator[str]:
    """The whole history, each message as often as it was stored."""
    for identifier, message_ids in expected.items():
        found = sorted(run.backend.events(identifier, collection))
        if found != sorted(message_ids):
            yield f"{identifier} has {found}, not {sorted(message_ids)}"


def _check_account_events(run: Run, expected: dict[str, list[str]]) -> Iterator[str]:
    return _check_events(run, expected, "accounts")


def _check_violations(run: Run, expected: list[dict[str, Any]]) -> Iterator[str]:
    """A case lists the violations it is about, not all."""
    for violation in expected:
        result = run.results[violation["event"]]
        if result is None:
            yield f"event {violation['event']} was not sent"
            continue
        reason = REASONS[violation["name"]]
        found = {(f"{type_}:{value}", why) for _, type_, value, why in result.drops}
        if "id" in violation:
            reported = (_identifier(violation["id"]), reason) in found
        else:
            reported = reason in {result.reason, *(why for _, why in found)}
        if not reported:
            subject = violation.get("id", "anything")
            yield f"event {violation['event']} reports no {reason} of {subject}"


def _check_rejected(run: Run, expected: list[int]) -> Iterator[str]:
    for index in expected:
        result = run.results[index]
        if result is None or result.status != "REJECTED":
            yield f"event {index} was not rejected"


def _check_statuses(run: Run, expected: list[str | None]) -> Iterator[str]:
    """Of every event; `REJECTED` may have the reason wanted behind a colon."""
    for index, (wanted, result) in enumerate(zip(expected, run.results, strict=True)):
        found = None if result is None else f"{result.status}:{result.reason}"
        if found != wanted and (result is None or result.status != wanted):
            yield f"event {index} was {found}, not {wanted}"


def _check_outcomes(run: Run, expected: list[str | None]) -> Iterator[str]:
    """Of every event that was stored now; of others nothing is said."""
    for index, (wanted, result) in enumerate(zip(expected, run.results, strict=True)):
        found = result.outcome if result is not None and result.status == "STORED" else None
        if (found or None) != wanted:
            yield f"event {index} {found}, not {wanted}"


def _check_drops(run: Run, expected: dict[str, list[list[str]]]) -> Iterator[str]:
    """All drops of all events; events without are left out. A value that is no text is ''."""
    for index, result in enumerate(run.results):
        if result is None or result.status == "DUPLICATE":
            continue
        wanted = sorted(tuple(drop) for drop in expected.get(str(index), []))
        found = sorted(tuple(drop) for drop in result.drops)
        if wanted != found:
            yield f"event {index} drops {found}, not {wanted}"


def _check_ids_total(run: Run, expected: int) -> Iterator[str]:
    found = sum(len(profile) for profile in run.backend.partition("users"))
    if found != expected:
        yield f"{found}, not {expected}"


def _check_errors(run: Run, expected: list[dict[str, Any]]) -> Iterator[str]:
    return _check_violations(run, expected)


def _check_queries(run: Run, expected: list[dict[str, Any]]) -> Iterator[str]:
    """Whether somebody is found, and who; the shape of the answer is for the tests of HTTP."""
    for query in expected:
        name = query.get("lookup") or unquote(query.get("path", ""))
        if (run.case["id"], name) in NOT_OURS:
            continue
        if "resolves_to" in query:
            yield from _check_resolves(run, name, query["resolves_to"])
            continue
        found = run.backend.segment_id(name)
        if "status" in query and (query["status"] == 200) != (found is not None):
            yield f"{name} is {'found' if found else 'not found'}"
        if "same_as" in query and found != run.backend.segment_id(query["same_as"]):
            yield f"{name} is not {query['same_as']}"
        sizes = [len(each) for each in run.backend.partition("users") if _identifier(name) in each]
        if "external_ids" in query and sizes != [query["external_ids"]]:
            yield f"{name} has {sizes} identifiers, not {query['external_ids']}"


def _check_resolves(run: Run, name: str, target: str) -> Iterator[str]:
    """Both are written `segment_id of event N`."""
    found, wanted = (run.segments[int(text.rsplit(" ", 1)[1])] for text in (name, target))
    if found is None or run.backend.canonical(found) != wanted:
        yield f"{name} does not resolve to {target}"


CHECKS: dict[str, Callable[[Run, Any], Iterator[str]]] = {
    "partition": _check_partition,
    "partition_accounts": _check_partition_accounts,
    "unattached": _check_unattached,
    "traits": _check_traits,
    "account_traits": _check_account_traits,
    "traits_absent": _check_traits_absent,
    "account_traits_absent": _check_account_traits_absent,
    "merges": _check_merges,
    "survivor_created_by_event": _check_survivor,
    "profile_id_stable_over": _check_stable,
    "event_profile_has": _check_event_profile,
    "event_owner_segment": _check_event_owners,
    "events_of_person": _check_events_of_person,
    "events": _check_events,
    "account_events": _check_account_events,
    "violations": _check_violations,
    "errors": _check_errors,
    "dropped_events": _check_rejected,
    "statuses": _check_statuses,
    "outcomes": _check_outcomes,
    "drops": _check_drops,
    "ids_total": _check_ids_total,
    "queries": _check_queries,
}
