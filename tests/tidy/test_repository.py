"""What no file of the repository may have, and what its lists must agree on."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest
from google.rpc.status_pb2 import Status

from tests.tidy.sources import ROOT, assert_none, files, texts
from unify_grpc.service.errors import RequestInvalidError, UnifyError
from unify_grpc.service.statuses import CODES, code_name, status_of
from unify_grpc.settings import Settings

LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
# Spelled so that this file does not contain what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(work|root|home|tmp/[a-z]|Users)/[\w.]")
PACKAGE_HOSTS = re.compile(
    r"py"
    r"pi\.org|python"
    r"hosted\.org|registry\.np"
    r"mjs|--(extra-)?index-url|[\w.-]*(artifactory|nexus)[\w.-]*\."
)
FILE_BYTES_MAX = 1 << 20
REASON = re.compile(r"[A-Z][A-Z0-9_]+[A-Z0-9]")
REASON_CHARS_MAX = 63
UNTIDY = re.compile(r"[ \t]+$|\r|[\x00-\x08\x0b-\x1f\x7f]", re.MULTILINE)
#: Written by programs.
DATA = "tests/conformance/cases/"
#: Files that say what is banned.
RULES = {"tests/tidy/test_repository.py"}


def found(pattern: re.Pattern[str]) -> list[str]:
    """Returns where a pattern is found in any text file."""
    return [
        f"{path}:{number} {line.strip()[:80]}"
        for path, text in texts().items()
        if path not in RULES
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    """What is to be done is an issue, which somebody sees, not a mark in a file."""
    assert_none(found(LATER))


def test_no_file_knows_a_machine() -> None:
    """A path of somebody's machine works nowhere else."""
    assert_none(found(MACHINE_PATHS))


def test_no_file_names_a_package_host() -> None:
    """Where packages come from is the business of whoever installs."""
    assert_none(found(PACKAGE_HOSTS))


def test_no_file_is_large() -> None:
    """A clone stays small: what is large is made by a program."""
    assert_none([path for path in files() if (ROOT / path).stat().st_size > FILE_BYTES_MAX])


def test_text_is_plain() -> None:
    """Files end in a newline, and have no trailing blanks and no control characters."""
    untidy = [
        path
        for path, text in texts().items()
        if not path.startswith(DATA) and (not text.endswith("\n") or UNTIDY.search(text)) and text
    ]

    assert_none(untidy)


REQUIREMENTS = sorted(path for path in files() if path.startswith("requirements/"))


@pytest.mark.parametrize("path", REQUIREMENTS)
def test_requirements_are_locked_by_hash(path: str) -> None:
    """Every requirement is one version and the hashes of its files."""
    logical = re.sub(r"\\\n", " ", texts()[path]).splitlines()
    required = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]

    assert required
    assert_none([line[:60] for line in required if not re.match(r"[\w.\[\],-]+==\S+ ", line)])
    assert_none([line[:60] for line in required if "--hash=sha256:" not in line])


def error_classes(root: type[UnifyError] = UnifyError) -> list[type[UnifyError]]:
    """Returns every class of refusals, without their root."""
    return [each for below in root.__subclasses__() for each in [below, *error_classes(below)]]


def test_every_error_has_a_status() -> None:
    """The one table from errors to statuses knows every class, and none that is gone."""
    assert set(CODES) == set(error_classes())


def test_every_error_has_a_reason_of_its_own() -> None:
    """Programs tell refusals apart by reasons, so each is unique, stable in form, and not long."""
    reasons = [each.reason for each in error_classes()]

    assert len(set(reasons)) == len(reasons)
    assert "INTERNAL" not in reasons
    for reason in reasons:
        assert REASON.fullmatch(reason)
        assert len(reason) <= REASON_CHARS_MAX


@pytest.mark.parametrize("error", error_classes(), ids=lambda each: each.__name__)
def test_every_error_crosses_the_wire(error: type[UnifyError]) -> None:
    """Its status carries the text, the domain and the reason."""
    is_request = error is RequestInvalidError
    made = RequestInvalidError([("field", "is wrong")]) if is_request else error()
    status = status_of(made)

    assert CODES[error] == status.code
    assert status.message
    assert error.reason.encode() in status.SerializeToString()


def table_of(heading: str) -> dict[str, list[str]]:
    """Returns a table of the README: first cell without quotes, to its other cells."""
    section = texts()["README.md"].split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_readme_lists_every_error() -> None:
    """Its table of errors has every reason, with the status it goes by."""
    listed = {reason: cells[0] for reason, cells in table_of("Errors").items()}
    defined = {each.reason: CODES[each] for each in error_classes()}

    assert {*defined, "INTERNAL"} == set(listed)
    for reason, code in defined.items():
        assert re.match(rf"{code_name(Status(code=code))}\b", listed[reason])


def test_the_readme_lists_every_setting() -> None:
    """Its table of settings has every field of `Settings`, with its default."""
    listed = {name: cells[0].strip("`") for name, cells in table_of("Settings").items()}

    assert {each.name: str(each.default) for each in fields(Settings)} == listed


def test_the_license_and_the_changelog_are_there() -> None:
    """What every release needs is in the root."""
    assert {"README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"} <= set(files())
