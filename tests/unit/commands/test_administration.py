"""Spaces, rules, keys and tokens on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from unify_client import FieldViolation
from unify_client.testing import FakeUnify

from unify_grpc._pb.unify.v1 import space_pb2, space_service_pb2

Unify = Callable[..., Result]

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
SPACE = space_pb2.Space(space_id="spa_1", name="shop", created_time=NOON, rules_version=2)
SOURCE = space_pb2.Source(source_id="src_1", name="web", created_time=NOON, revoked_time=NOON)
TOKEN = space_pb2.AccessToken(
    access_token_id="tok_1", name="ci", scopes=["SCOPE_READ", "SCOPE_RULES"], created_time=NOON
)
DOCUMENT = {
    "identifiers": [
        {"type": "user_id", "limit": 1, "window": "ever", "blocked": [{"exact": "-1"}]},
        {"type": "phone", "limit": None, "window": "monthly", "blocked": [], "custom": True},
    ],
    "others": {"limit": 5, "window": "ever"},
    "blocked": [{"pattern": "^[0-]*$"}],
    "caps": {"identifiers": 1000, "merges": 100},
    "accept_new_types": True,
    "alias_links": None,
    "searchable_traits": ["name"],
}
RULES = space_pb2.Rules(
    version=3,
    rules_json=json.dumps(DOCUMENT).encode(),
    created_time=NOON,
    author="admin",
    met_types=["zip"],
)


def sent(fake: FakeUnify) -> Any:
    """Returns the last request that arrived."""
    return fake.received[-1].request


def replied_rules(fake: FakeUnify) -> None:
    """Makes the service answer reads and changes of rules."""
    fake.reply("GetRules", space_service_pb2.GetRulesResponse(rules=RULES))
    fake.reply("SetRules", space_service_pb2.SetRulesResponse(rules=RULES))


def test_a_space_is_ready_in_one_command(fake: FakeUnify, unify: Unify, tmp_path: Path) -> None:
    """`--json` prints the id, the key and the token, and nothing else."""
    fake.reply(
        "CreateSpace",
        space_service_pb2.CreateSpaceResponse(space=SPACE, write_key="wk", access_token="at"),
    )
    (tmp_path / "rules.json").write_text('{"lowercase_email": false}')
    created = unify("space", "create", "shop", "--rules", str(tmp_path / "rules.json"), "--json")

    assert {"space_id": "spa_1", "write_key": "wk", "access_token": "at"} == json.loads(
        created.stdout
    )
    assert ("shop", b'{"lowercase_email":false}') == (sent(fake).name, sent(fake).rules_json)
    assert "Bearer some_token" == fake.received[0].metadata["authorization"]
    assert "write_key     wk" in unify("space", "create", "shop").stdout


def test_spaces_are_listed_and_shown(fake: FakeUnify, unify: Unify) -> None:
    """People see columns, programs one document."""
    fake.reply("ListSpaces", space_service_pb2.ListSpacesResponse(spaces=[SPACE]))
    fake.reply("GetSpace", space_service_pb2.GetSpaceResponse(space=SPACE))

    assert (
        "  space_id  name  created               rules\n"
        "  spa_1     shop  2026-01-02 12:00:00Z  version 2\n"
    ) == unify("space", "list").stdout
    (listed,) = json.loads(unify("space", "list", "--json").stdout)["spaces"]
    shown = json.loads(unify("space", "show", "shop", "--json").stdout)
    assert listed == shown
    assert ("spa_1", "2026-01-02T12:00:00Z") == (shown["space_id"], shown["created_time"])
    assert "spa_1" in unify("space", "show", "shop").stdout


def test_rules_are_shown(fake: FakeUnify, unify: Unify) -> None:
    """Every key of the document is there, whichever way it is asked for."""
    replied_rules(fake)
    text = unify("rules", "show", "--space", "shop").stdout

    assert "Rules, version 3, set by admin" in text
    for line in (
        'user_id   1      ever     exact "-1"  -',
        "phone     none   monthly  -           yes",
        "zip       5      ever     -           -",
        "(others)  5      ever     -           -",
    ):
        assert line in text
    for fact in ('pattern "^[0-]*$"', "1000 identifiers, 100 merges", "alias links", "name"):
        assert fact in text
    assert DOCUMENT == json.loads(unify("rules", "show", "--document").stdout)
    assert 3 == json.loads(unify("rules", "show", "--json", "--version", "3").stdout)["version"]
    assert ("", 3) == (sent(fake).space, sent(fake).version)


TOML = """
accept_new_types = false
[others]
limit = "none"
[[identifiers]]
type = "phone"
limit = "none"
[[identifiers]]
type = "user_id"
limit = 1
"""
FROM_TOML = {
    "accept_new_types": False,
    "others": {"limit": None},
    "identifiers": [{"type": "phone", "limit": None}, {"type": "user_id", "limit": 1}],
}


@pytest.mark.parametrize(
    ("name", "content", "document"),
    [
        ("rules.toml", TOML, FROM_TOML),
        ("rules", TOML, FROM_TOML),
        ("rules.json", '{"others": {"limit": "none"}}', {"others": {"limit": "none"}}),
        ("rules", ' \n{"caps": {}}', {"caps": {}}),
    ],
)
def test_a_file_of_rules_is_toml_or_json(
    fake: FakeUnify, unify: Unify, tmp_path: Path, name: str, content: str, document: Any
) -> None:
    """The suffix says it, else the content; TOML, which has no null, says "none" for no limit."""
    replied_rules(fake)
    (tmp_path / name).write_text(content)
    changed = unify("rules", "set", str(tmp_path / name), "--space", "shop",
                    "--expected-version", "2")  # fmt: skip

    assert "Version 3 of the rules holds now in shop.\n" == changed.stdout
    assert document == json.loads(sent(fake).rules_json)
    assert ("shop", 2) == (sent(fake).space, sent(fake).expected_version)


def test_rules_are_taken_from_standard_input(fake: FakeUnify, unify: Unify) -> None:
    """What one command prints, another takes."""
    replied_rules(fake)
    document = unify("rules", "show", "--document").stdout

    assert 3 == json.loads(unify("rules", "set", "-", "--json", stdin=document).stdout)["version"]
    assert DOCUMENT == json.loads(sent(fake).rules_json)


@pytest.mark.parametrize(
    ("content", "text"),
    [("{", "is no JSON: "), ("limit = ", "is no TOML: "), ("{}]", "is no JSON: ")],
)
def test_a_file_that_is_no_document_is_refused_in_one_line(
    fake: FakeUnify, unify: Unify, content: str, text: str
) -> None:
    """Nothing is sent, and the line says where it is broken."""
    refused = unify("rules", "set", "-", stdin=content)

    assert (1, "") == (refused.exit_code, refused.stdout)
    assert text in refused.stderr
    assert 1 == refused.stderr.count("\n")
    assert not fake.received


def test_every_fault_of_a_document_has_its_line(fake: FakeUnify, unify: Unify) -> None:
    """Whoever edits fifty types sees all mistakes at once, by the fields of the file."""
    faults = [
        FieldViolation("rules_json.identifiers[0].limit", "must be a whole number"),
        FieldViolation("rules_json.colour", "unknown key"),
    ]
    fake.fail_next("SetRules", "INVALID_ARGUMENT", reason="REQUEST_INVALID", violations=faults)
    refused = unify("rules", "set", "-", stdin="{}")
    first, *rest = refused.stderr.splitlines()

    assert 1 == refused.exit_code
    assert first.startswith("unify: REQUEST_INVALID: 2 faults [request ")
    assert ["  identifiers[0].limit: must be a whole number", "  colour: unknown key"] == rest


def test_rules_are_copied_from_one_space_to_another(fake: FakeUnify, unify: Unify) -> None:
    """The document of the one is set in the other, by one command."""
    replied_rules(fake)
    copied = unify("rules", "copy", "shop", "mart")

    assert "Version 3 of the rules holds now in mart.\n" == copied.stdout
    read, written = (received.request for received in fake.received)
    assert ("shop", "mart") == (read.space, written.space)
    assert DOCUMENT == json.loads(written.rules_json)


def test_write_keys_are_administered(fake: FakeUnify, unify: Unify) -> None:
    """A key is shown when it is made; a source by its id afterwards."""
    fake.reply(
        "CreateSource", space_service_pb2.CreateSourceResponse(source=SOURCE, write_key="wk")
    )
    fake.reply("ListSources", space_service_pb2.ListSourcesResponse(sources=[SOURCE]))
    fake.reply("RevokeWriteKey", space_service_pb2.RevokeWriteKeyResponse(source=SOURCE))
    there = ("--space", "shop")

    made = json.loads(unify("key", "create", "web", "--json", *there).stdout)
    assert {"source_id": "src_1", "write_key": "wk"} == made
    assert "wk" in unify("key", "create", "web", *there).stdout
    (listed,) = json.loads(unify("key", "list", "--json", *there).stdout)["sources"]
    assert "web" == listed["name"]
    assert "src_1      web" in unify("key", "list", *there).stdout
    assert "src_1 is revoked since 2026" in unify("key", "revoke", "src_1", *there).stdout
    assert ("shop", "src_1") == (sent(fake).space, sent(fake).source_id)
    assert listed == json.loads(unify("key", "revoke", "src_1", "--json", *there).stdout)


def test_access_tokens_are_administered(fake: FakeUnify, unify: Unify) -> None:
    """Scopes and days go out; the secret is shown when it is made."""
    fake.reply(
        "CreateAccessToken",
        space_service_pb2.CreateAccessTokenResponse(access_token=TOKEN, secret="at"),
    )
    fake.reply(
        "ListAccessTokens", space_service_pb2.ListAccessTokensResponse(access_tokens=[TOKEN])
    )
    fake.reply("RevokeAccessToken", space_service_pb2.RevokeAccessTokenResponse(access_token=TOKEN))
    there = ("--space", "shop")

    made = json.loads(
        unify("token", "create", "ci", "--scope", "read", "--days", "1", "--json", *there).stdout
    )
    assert ("tok_1", "at", ["READ", "RULES"]) == (
        made["access_token_id"], made["access_token"], made["scopes"],
    )  # fmt: skip
    assert [space_pb2.SCOPE_READ] == list(sent(fake).scopes)
    assert 86_400 > sent(fake).expire_time.seconds - datetime.now(UTC).timestamp() > 86_300
    assert "scopes           read, rules" in unify("token", "create", "ci", *there).stdout
    assert not sent(fake).HasField("expire_time")
    listed = json.loads(unify("token", "list", "--json", *there).stdout)
    assert ["ci"] == [each["name"] for each in listed["access_tokens"]]
    assert "tok_1            ci    read, rules" in unify("token", "list", *there).stdout
    assert "tok_1" in unify("token", "revoke", "tok_1", *there).stdout
    assert "tok_1" in unify("token", "revoke", "tok_1", "--json", *there).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("key", "list"),
        ("token", "create", "ci", "--space", "shop", "--scope", "write"),
        ("rules", "set"),
        ("rules", "set", "absent.toml"),
        ("space", "create"),
    ],
)
def test_a_wrong_command_line_is_told_from_a_refusal(
    fake: FakeUnify, unify: Unify, arguments: tuple[str, ...]
) -> None:
    """It ends with 2, and the service is not asked."""
    wrong = unify(*arguments)

    assert (2, "") == (wrong.exit_code, wrong.stdout)
    assert "Error: " in wrong.stderr
    assert not fake.received


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        ("NOT_FOUND", "SPACE_NOT_FOUND", "SPACE_NOT_FOUND: There is no such space."),
        ("UNAUTHENTICATED", "", "UNAUTHENTICATED: There is no such space."),
    ],
)
def test_a_refusal_is_one_line_with_its_reason(
    fake: FakeUnify, unify: Unify, code: str, reason: str, text: str
) -> None:
    """It ends with 1, and names the request for whoever reads the log."""
    fake.fail_next("GetSpace", code, reason=reason, detail="There is no such space.")
    refused = unify("space", "show", "shop", "--json")

    assert (1, "") == (refused.exit_code, refused.stdout)
    assert refused.stderr.startswith(f"unify: {text} [request ")
    assert 1 == refused.stderr.count("\n")


def test_lost_secrets_are_said(fake: FakeUnify, unify: Unify) -> None:
    """The space is there and nobody knows its key: that is no success."""
    fake.reply("CreateSpace", space_service_pb2.CreateSpaceResponse(space=SPACE))
    lost = unify("space", "create", "shop", "--json")

    assert (1, "") == (lost.exit_code, lost.stdout)
    assert "spa_1 was created" in lost.stderr
