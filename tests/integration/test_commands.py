"""The command line against a real service: what an administrator and an analyst do by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from unify_client import CredentialInvalid, UnifyClient, group, identify, track

from actors.command_line import main
from tests.integration.service import ADMIN_TOKEN, ROOT, Service

pytestmark = pytest.mark.ray


class Space(NamedTuple):
    """A space as `unify space create --json` prints it."""

    name: str
    space_id: str
    write_key: str
    access_token: str


Unify = Callable[..., Result]


@pytest.fixture(scope="module")
def unify(service: Service) -> Unify:
    """Runs `unify` against the service, as an administrator unless told otherwise."""

    def run(*arguments: str, token: str = ADMIN_TOKEN, stdin: str | None = None) -> Result:
        environment = {"UNIFY_ADDRESS": service.address, "UNIFY_TOKEN": token}
        return CliRunner().invoke(
            main, arguments, input=stdin, env=environment, catch_exceptions=False
        )

    return run


def document(result: Result) -> Any:
    """Returns what a command printed for programs."""
    assert 0 == result.exit_code, result.stderr
    return json.loads(result.stdout)


def created(unify: Unify, **rules: Any) -> Space:
    """Creates a space of a name that no other test has."""
    name = f"shop-{uuid4().hex[:8]}"
    made = document(
        unify("space", "create", name, "--rules", "-", "--json", stdin=json.dumps(rules))
    )
    return Space(name, **made)


@pytest.fixture(scope="module")
def shop(service: Service, unify: Unify) -> Space:
    """A space in which one person has two identifiers, and another shares a device with her."""
    space = created(unify)
    with UnifyClient(service.address, key=space.write_key) as client:
        client.ingest(
            [
                identify(user_id="u1", anonymous_id="a1", message_id="m1", traits={"plan": "pro"}),
                identify(user_id="u1", message_id="m2", traits={"email": "u1@example.com"}),
                track("Order Paid", user_id="u2", anonymous_id="a1", message_id="m3"),
                group("acme", user_id="u1", message_id="m4", traits={"plan": "team"}),
            ],
            raise_on_rejected=True,
        )
    return space


def test_a_space_is_found_once_it_is_made(unify: Unify) -> None:
    """It is listed, shown by name and by id, and its name is taken."""
    space = created(unify)
    shown = document(unify("space", "show", space.name, "--json"))

    assert shown == document(unify("space", "show", space.space_id, "--json"))
    assert shown in document(unify("space", "list", "--json"))["spaces"]
    again = unify("space", "create", space.name, "--json")
    assert (1, "") == (again.exit_code, again.stdout)
    assert again.stderr.startswith("unify: SPACE_NAME_TAKEN: ")
    absent = unify("space", "show", "no-such-space")
    assert absent.stderr.startswith("unify: SPACE_NOT_FOUND: ")


def test_rules_are_set_shown_and_copied(unify: Unify) -> None:
    """What is set is shown with its defaults, and another space has it after one command."""
    one, other = created(unify), created(unify)
    at_first = document(unify("rules", "show", "--space", one.name, "--json"))
    toml = 'lowercase_email = false\n[others]\nlimit = "none"\n'
    changed = document(unify("rules", "set", "-", "--space", one.name, "--json", stdin=toml))

    assert (at_first["version"] + 1, False, None) == (
        changed["version"],
        changed["document"]["lowercase_email"],
        changed["document"]["others"]["limit"],
    )
    copied = document(unify("rules", "copy", one.name, other.space_id, "--json"))
    assert changed["document"] == copied["document"]
    shown = document(unify("rules", "show", "--space", other.name, "--document"))
    assert changed["document"] == shown
    before = unify("rules", "show", "--space", one.name, "--version", "1", "--json")
    assert at_first["document"] == document(before)["document"]
    late = unify("rules", "set", "-", "--space", one.name, "--expected-version", "1", stdin="{}")
    assert late.stderr.startswith("unify: RULES_CHANGED: ")


def test_every_fault_of_rules_is_said_with_its_field(unify: Unify) -> None:
    """Nothing is changed by a document with faults."""
    space = created(unify)
    faulty = json.dumps({"colour": 1, "identifiers": [{"type": "user_id", "limit": -1}]})
    refused = unify("rules", "set", "-", "--space", space.name, stdin=faulty)
    fields = {line.partition(":")[0].strip() for line in refused.stderr.splitlines()[1:]}

    assert {"colour", "identifiers[0].limit"} == fields
    assert refused.stderr.startswith("unify: REQUEST_INVALID: 2 faults ")
    assert 1 == document(unify("rules", "show", "--space", space.name, "--json"))["version"]


def test_a_write_key_is_good_until_it_is_revoked(service: Service, unify: Unify) -> None:
    """It sends events, is listed by its source, and is of no use afterwards."""
    space = created(unify)
    there = ("--space", space.name, "--json")
    made = document(unify("key", "create", "web", *there))
    with UnifyClient(service.address, key=made["write_key"]) as client:
        assert client.ingest([identify(user_id="u1")])[0].stored
        document(unify("key", "revoke", made["source_id"], *there))
        listed = document(unify("key", "list", *there))["sources"]

        (mine,) = [each for each in listed if each["source_id"] == made["source_id"]]
        assert ("web", True) == (mine["name"], mine["revoked_time"] is not None)
        with pytest.raises(CredentialInvalid):
            client.ingest([identify(user_id="u1")])


def test_an_access_token_does_what_its_scopes_say(unify: Unify) -> None:
    """One for rules shows those of its own space by itself, and reads no profile."""
    space = created(unify)
    there = ("--space", space.name, "--json")
    made = document(unify("token", "create", "ci", "--scope", "rules", "--days", "1", *there))
    token = made["access_token"]

    assert 1 == document(unify("rules", "show", "--json", token=token))["version"]
    assert "SCOPE_MISSING" in unify("explain", "user_id:u1", "user_id:u2", token=token).stderr
    listed = document(unify("token", "list", *there))["access_tokens"]
    assert ["ci"] == [each["name"] for each in listed if each["scopes"] == ["RULES"]]
    document(unify("token", "revoke", made["access_token_id"], *there))
    assert "CREDENTIAL_INVALID" in unify("rules", "show", token=token).stderr


def test_two_identifiers_are_explained_by_their_events(unify: Unify, shop: Space) -> None:
    """The path has an event for each step, for people and for programs."""
    names = ("anonymous_id:a1", "email:u1@example.com")
    explained = document(unify("explain", *names, "--json", token=shop.access_token))

    assert explained["joined"]
    assert ["m1", "m2"] == [step["message_id"] for step in explained["path"]]
    text = unify("explain", *names, token=shop.access_token).stdout
    assert "are one profile" in text
    assert text.index("identify m1") < text.index("identify m2")


def test_two_people_are_explained_by_what_kept_them_apart(unify: Unify, shop: Space) -> None:
    """An administrator names the space; the shared device is what was left out."""
    names = ("user_id:u1", "user_id:u2", "--space", shop.name)
    explained = document(unify("explain", *names, "--json"))

    assert not explained["joined"]
    assert ["m3"] == [each["message_id"] for each in explained["drops"]]
    assert "track 'Order Paid' m3" in unify("explain", *names).stdout
    no_space = unify("explain", "user_id:u1", "user_id:u2")
    assert no_space.stderr.startswith("unify: REQUEST_INVALID: --space: ")
    absent = unify("explain", "user_id:u1", "user_id:u9", "--space", shop.name)
    assert (1, True) == (absent.exit_code, "PROFILE_NOT_FOUND" in absent.stderr)


def test_a_profile_is_shown_whole(unify: Unify, shop: Space) -> None:
    """Identifiers with their origin, traits, events of every kind, and the account."""
    shown = document(unify("profile", "user_id:u1", "--json", token=shop.access_token))

    assert {"user_id:u1": "m1", "anonymous_id:a1": "m1", "email:u1@example.com": "m2"} == {
        f"{each['type']}:{each['id']}": each["first_message_id"] for each in shown["external_ids"]
    }
    assert {"plan": "pro", "email": "u1@example.com"} == {
        trait["name"]: trait["value"] for trait in shown["traits"]
    }
    assert ["m4", "m2", "m1"] == [event["message_id"] for event in shown["events"]]
    (link,) = shown["links"]
    account = document(unify("profile", "group_id:acme", "--json", token=shop.access_token))
    assert link["segment_id"] == account["segment_id"]
    text = unify("profile", shown["segment_id"], token=shop.access_token).stdout
    for line in ("Identifiers", "u1@example.com", "Traits", "Last events", "Links", "acme"):
        assert line in text


def test_a_tail_shows_events_as_they_come(service: Service, unify: Unify) -> None:
    """Each event is once on a line of its own; Ctrl-C is how it ends, and its token goes on."""
    space = created(unify)
    with (
        UnifyClient(service.address, key=space.write_key) as writer,
        tailing(service, space) as process,
    ):
        seen = first_line(process, writer)
        writer.ingest([track("Paid", user_id="u1", message_id=f"p{number}") for number in range(3)])
        paid: list[Any] = []
        while len(paid) < 3:
            line = json.loads(process.stdout.readline())
            paid += [line] if line["event"]["name"] == "Paid" else []
        process.send_signal(signal.SIGINT)
        assert (0, "") == (process.wait(30), process.stderr.read())

    assert "Waited" == seen["event"]["name"]
    assert ["p0", "p1", "p2"] == [line["event"]["message_id"] for line in paid]
    assert 1 == len({line["segment_id"] for line in paid})
    with UnifyClient(service.address, key=space.access_token) as reader:
        tail = reader.tail_events(resume_token=paid[1]["resume_token"])
        assert "p2" == next(tail).event.message_id
        tail.close()


@contextmanager
def tailing(service: Service, space: Space) -> Iterator[Any]:
    """Runs `unify tail` as a process of its own."""
    command = [sys.executable, "-m", "actors.command_line", "tail", "--json"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "clients/python")])
    environment = {
        **os.environ,
        "PYTHONPATH": paths,
        "UNIFY_ADDRESS": service.address,
        "UNIFY_TOKEN": space.access_token,
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: Any, writer: UnifyClient) -> Any:
    """Sends events until the tail shows one, since it shows none from before it began."""
    lines: list[str] = []
    reading = Thread(target=lambda: lines.append(process.stdout.readline()), daemon=True)
    reading.start()
    while reading.is_alive():
        writer.ingest([track("Waited", user_id="u1")])
        reading.join(0.2)
    return json.loads(lines[0])
