"""Official SDKs, unchanged, against a running service: only their host and key are configured."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.runner import NOT_RUN_PREFIX
from tests.integration.service import Service
from tests.sdks.installed import LEAVE_OUT, left_out, missing
from tests.sdks.own_space import WRITES_PER_S
from tests.sdks.runs import CALLS, SDKS, AllRuns, Run, make_all, runnable
from tests.sdks.troubled_proxy import TOO_SLOW, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

DEADLINE_S = 7
"""Of a call to a service that stands still; the SDKs hang up later, and try more than once."""
PERSON = "user_id:person-1"
EVENTS: dict[tuple[str, str], dict[str, Any]] = {
    ("page", "Page Viewed"): {"path": "/"},
    ("screen", "Screen Viewed"): {"dark": True},
    ("track", "Order Completed"): {"total": 12.5},
    ("track", "Came Before"): {},
}


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllRuns]:
    """What became of all SDKs that can be run."""
    data_dir = tmp_path_factory.mktemp("sdks") / "data"
    limits = {"space_writes_per_s": WRITES_PER_S, "deadline_s_default": DEADLINE_S}
    service = Service(data_dir, "--shards", "2", is_dev=True, **limits)
    with service, ExitStack() as proxies:
        yield make_all(service, proxies, runnable())


@pytest.fixture(params=SDKS)
def name(request: pytest.FixtureRequest) -> str:
    """An SDK that can be run here; others fail, unless they were left out on purpose."""
    kind = SDKS[request.param].kind
    if kind in left_out():
        pytest.skip(f"{NOT_RUN_PREFIX}{LEAVE_OUT} names {kind}")
    assert not missing(kind), f"{', '.join(missing(kind))} not here, and {LEAVE_OUT} is silent"
    return str(request.param)


@pytest.fixture(params=Trouble, ids=lambda trouble: trouble.value)
def run(request: pytest.FixtureRequest, name: str, all_runs: AllRuns) -> Run:
    """One journey of it."""
    return all_runs[name, request.param]


def test_an_sdk_gives_nothing_up(run: Run) -> None:
    """It ends by itself when all that it had is acknowledged, without an error."""
    assert run.ended is not None
    assert 0 == run.ended.exit_code, run.ended.complaints
    assert set(run.proxy.sent()) == run.proxy.acknowledged()
    assert CALLS == len(run.proxy.acknowledged()), run.ended.complaints


def test_an_sdk_meets_its_trouble(run: Run) -> None:
    """It is refused as it was meant to be, and at most by a busy machine besides, and sends the
    same again.
    """
    refused = {(each.status, each.code) for each in run.proxy.refused()}

    assert refused & run.proxy.trouble.refusals
    assert refused <= run.proxy.trouble.refusals | TOO_SLOW
    assert max(run.proxy.sent().values()) > 1


def test_an_sdk_comes_back_when_it_is_told_to(run: Run) -> None:
    """Every refusal says after how long to try again, and an SDK that reads it comes no sooner:
    in a browser it can be read only as far as the answer lets other origins read it.
    """
    assert all(each.retry_after_s >= 1 for each in run.proxy.refused())
    assert [] == run.proxy.seconds_too_soon(run.sdk.heeds)


def test_every_event_arrives_once(run: Run) -> None:
    """However often it was sent, and whether or not its first answer was lost; an event whose SDK
    had learned meanwhile who its sender is, and said so, may be there under either.
    """
    senders = run.proxy.senders()
    stored = Counter(run.space.message_ids(PERSON))

    assert set(senders) == set(stored)
    assert [] == [each for each, number in stored.items() if number > len(senders[each])]
    assert run.sdk.kind == "browser" or CALLS == stored.total()


def test_events_are_those_of_the_journey(run: Run) -> None:
    """With their names and properties."""
    listed = run.space.read(PERSON, "events")["data"]

    by_name = {(each["type"], each["event"]): each for each in listed}
    assert set(EVENTS) == set(by_name)
    assert {each["message_id"] for each in listed} == {
        each["message_id"] for each in by_name.values()
    }
    for named, properties in EVENTS.items():
        assert properties.items() <= by_name[named]["properties"].items()


def test_traits_are_those_of_the_journey(run: Run) -> None:
    """Of the person, and of the company."""
    person = run.space.read(PERSON, "traits")["traits"]
    company = run.space.read("group_id:company-1", "traits", "accounts")["traits"]

    assert {"email": "person-1@example.com", "score": 1.5, "tags": ["a"]} == person
    assert {"name": "Ünify", "employees": 7} == company


def test_identifiers_are_those_of_the_journey(run: Run) -> None:
    """Also what the alias says the person was before, and what the browser calls its visitor."""
    listed = run.space.read(PERSON, "external_ids")["data"]

    expected = [
        ("anonymous_id", "before-1"),
        ("email", "person-1@example.com"),
        ("user_id", "person-1"),
    ]
    expected += [("anonymous_id", run.visitor)] if run.visitor else []
    assert ("browser" == run.sdk.kind) == bool(run.visitor)
    assert sorted(expected) == sorted((each["type"], each["id"]) for each in listed)


def test_a_company_is_linked(run: Run) -> None:
    """The person's profile leads to the company's."""
    (link,) = run.space.read(PERSON, "links")["data"]

    assert "company-1" in json.dumps(link)
