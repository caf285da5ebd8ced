"""Taste as rules: what no Python file of the repository may have, each with what to do instead."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from tests.tidy.sources import SERVICE, Source, assert_none, dotted, sources, sources_in

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 60
VAGUE_FILES = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
VAGUE_CLASSES = re.compile(r"Manager|Handler$|Processor$")
LOG_METHODS = {"debug", "info", "warning", "error", "critical", "exception"}
EXEMPTION = re.compile(
    r"#\s*(noqa|type:\s*ignore)(?P<codes>(: ?[A-Z]+\d+(, ?[A-Z]+\d+)*|\[[\w, -]+\])?)"
)
SLEEPS = {"sleep", "time.sleep", "asyncio.sleep"}
ACTOR_NAME = re.compile(r"^(shard|merge)-\d*$|^control$")


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yields every function of a file, nested ones included."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def calls(source: Source) -> Iterator[ast.Call]:
    """Yields every call in a file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node


def is_explained(source: Source, number: int, codes: str) -> bool:
    """Says whether an exemption has a reason: behind it, right above it, or above by its code."""
    line = source.lines[number - 1]
    match = EXEMPTION.search(line)
    if match and line[match.end() :].strip(" -#()"):
        return True
    above = [each.strip() for each in source.lines[max(0, number - 15) : number - 1]]
    if above and above[-1].startswith("#"):
        return True
    return any(each.startswith("#") and codes.strip(": ") in each for each in above)


def comment_behind(line: str) -> str:
    """Returns what is said behind a statement, but for the codes of an exemption."""
    _, _, comment = line.partition("#")
    return EXEMPTION.sub("", "#" + comment).strip(" -#()")


def passes_on(node: ast.ExceptHandler) -> bool:
    """Says whether a handler only tidies up, and raises what it caught."""
    last = node.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def is_written(source: Source, environment: ast.AST) -> bool:
    """Says whether `os.environ` is only set here, for processes that are started."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Subscript) and node.value is environment:
            return isinstance(node.ctx, ast.Store)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and called.value is environment:
                return called.attr == "setdefault"
    return False


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    """A Python file has at most 450 lines: split it by what changes for different reasons."""
    too_long = [
        f"{each.path}: {len(each.lines)}" for each in sources() if len(each.lines) > FILE_LINES_MAX
    ]

    assert_none(too_long)


def test_no_function_is_longer_than_a_screen() -> None:
    """A function has at most 60 lines, docstring included: give its parts names."""
    too_long = [
        f"{source.at(node)} {node.name}: {node.end_lineno - node.lineno + 1}"
        for source in sources()
        for node in functions(source)
        if node.end_lineno and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]

    assert_none(too_long)


def test_no_file_is_named_after_nothing() -> None:
    """No `utils.py` and its kin: a file is named by the one thing it holds."""
    vague = [each.path for each in sources() if each.path.rpartition("/")[2] in VAGUE_FILES]

    assert_none(vague)


def test_no_class_is_named_after_nothing() -> None:
    """No Manager, Handler or Processor: say what it decides, keeps or sends."""
    vague = [
        f"{source.at(node)} {node.name}"
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and VAGUE_CLASSES.search(node.name)
    ]

    assert_none(vague)


def test_a_broad_except_gives_its_reason() -> None:
    """`except Exception` hides mistakes: it raises them again, or its line says why it is broad."""
    silent = [
        source.at(node)
        for source in sources()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or dotted(node.type) in {"Exception", "BaseException"})
        and not passes_on(node)
        and not comment_behind(source.lines[node.lineno - 1])
    ]

    assert_none(silent)


def test_no_error_is_caught_to_return_none() -> None:
    """Whoever catches an error says what it means: None says that nothing happened."""
    silent = [
        source.at(node)
        for source in sources_in(*SERVICE)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ExceptHandler)
        and len(node.body) == 1
        and isinstance(node.body[0], ast.Return)
        and (
            node.body[0].value is None
            or (isinstance(node.body[0].value, ast.Constant) and node.body[0].value.value is None)
        )
    ]

    assert_none(silent)


def test_exemptions_name_their_code_and_reason() -> None:
    """`noqa` and `type: ignore` name what they exempt from, and why, on the line or above it."""
    bare = []
    for source in sources():
        for number, line in enumerate(source.lines, 1):
            match = EXEMPTION.search(line)
            if match is None or line.count('"', 0, match.start()) % 2:
                continue
            if not match["codes"] or not is_explained(source, number, match["codes"]):
                bare.append(f"{source.path}:{number} {line[match.start() :]}")

    assert_none(bare)


def test_log_calls_have_no_formatted_text() -> None:
    """An event's name is constant and its facts are keywords: f-strings cannot be searched."""
    formatted = [
        source.at(node)
        for source in sources_in(*SERVICE)
        for node in calls(source)
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in LOG_METHODS
        and "log" in dotted(node.func.value).lower()
        and any(
            isinstance(inner, ast.JoinedStr | ast.Mod)
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]
            for inner in ast.walk(argument)
        )
    ]

    assert_none(formatted)


def test_tests_wait_for_conditions_and_never_sleep() -> None:
    """A sleep in a test is too short on a slow machine and too long on a fast one."""
    asleep = [
        source.at(node)
        for source in sources_in("tests")
        for node in calls(source)
        if dotted(node.func) in SLEEPS
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]

    assert_none(asleep)


def test_the_environment_is_read_in_one_place() -> None:
    """Settings come from `settings.py` and are passed on; nothing else reads the environment."""
    reads = [
        source.at(node)
        for source in sources_in(*SERVICE)
        if source.path != "unify_grpc/settings.py"
        for node in ast.walk(source.tree)
        if dotted(node) in {"os.environ", "os.getenv"} and not is_written(source, node)
    ]

    assert_none(reads)


def test_actor_names_are_built_in_one_place() -> None:
    """`actors/names.py` names actors and stores; a name built elsewhere misses a change of it."""
    built = [
        f"{source.at(node)} {node.value}"
        for source in sources_in("unify_grpc", "actors")
        if source.path != "actors/names.py"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and ACTOR_NAME.match(node.value)
    ]

    assert_none(built)


def test_stubs_are_for_the_edges() -> None:
    """Only the service's edges and clients import the stubs; decisions know no wire."""
    imports = [
        source.at(node)
        for source in sources_in("unify_grpc", "actors")
        if not source.path.startswith(("unify_grpc/service/", "unify_grpc/http/"))
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.ImportFrom) and "_pb" in (node.module or "").split("."))
        or (
            isinstance(node, ast.Import)
            and any("_pb" in each.name.split(".") for each in node.names)
        )
    ]

    assert_none(imports)


def written_tests(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yields the tests of a file."""
    if source.path.startswith("tests/") and source.path.rpartition("/")[2].startswith("test_"):
        for node in functions(source):
            if node.name.startswith("test_"):
                yield node


def test_every_test_says_what_must_be_true() -> None:
    """Each has a docstring, one sentence that ends, and a name that tells it from others."""
    silent = [
        f"{source.at(node)} {node.name}"
        for source in sources()
        for node in written_tests(source)
        if not (ast.get_docstring(node) or "").endswith(".") or node.name == "test_basic"
    ]

    assert_none(silent)


def test_every_test_is_run() -> None:
    """No two tests of a file share a name: Python would keep the last and forget the others."""
    lost = []
    for source in sources():
        for body in [
            source.tree.body,
            *(node.body for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)),
        ]:
            names = [
                node.name
                for node in body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name.startswith("test_")
            ]
            lost += [f"{source.path} {name}" for name in set(names) if names.count(name) > 1]

    assert_none(lost)
