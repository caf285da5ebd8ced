"""Compile `protos/**/*.proto` into `unify_grpc/_pb`, at install time or by hand.

Stubs are generated rather than committed: the repository then holds only what people wrote, and
stubs cannot drift from the protos. hatchling calls the hook below before it builds a wheel, an
editable one included; after editing a proto, run `python protos/build_stubs.py`.
"""

from __future__ import annotations

import re
import shutil
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from grpc_tools import protoc
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROTOS = Path(__file__).resolve().parent
STUBS = PROTOS.parent / "unify_grpc" / "_pb"

# protoc spells modules from the proto root; ours live inside `unify_grpc._pb`. Imports have to
# follow, and so has the name that messages are pickled by. Descriptors keep theirs, `unify/v1/…`,
# so reflection and other languages agree.
FROM_PROTO_ROOT = re.compile(
    r"^(from |_builder\.BuildTopDescriptorsAndMessages\(DESCRIPTOR, ')unify\b", re.MULTILINE
)
IN_STUBS = r"\g<1>unify_grpc._pb.unify"


class StubsBuildHook(BuildHookInterface[Any]):
    """Writes the stubs before every wheel, editable ones included."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 (hatchling's signature)
        """Writes the stubs; hatchling calls it once for each wheel."""
        write_stubs()


def write_stubs() -> None:
    """Replaces `unify_grpc/_pb` by stubs of the protos as they stand.

    Raises SystemExit where a proto does not compile; protoc has said why by then, and the stubs
    that stood before are left as they were.
    """
    fresh = STUBS.with_name("_pb.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    failed = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--plugin=protoc-gen-mypy_grpc={mypy_plugin()}",
            f"--python_out={fresh}",
            f"--pyi_out={fresh}",
            f"--grpc_python_out={fresh}",
            f"--mypy_grpc_out=quiet:{fresh}",
            *sorted(str(proto) for proto in PROTOS.rglob("*.proto")),
        ]
    )
    if failed:
        shutil.rmtree(fresh)
        raise SystemExit("protoc rejected the protos; its message is above.")
    for stub in [*fresh.rglob("*.py"), *fresh.rglob("*.pyi")]:
        text = stub.read_text(encoding="utf-8")
        stub.write_text(FROM_PROTO_ROOT.sub(IN_STUBS, text), encoding="utf-8")
    for package in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
        (package / "__init__.py").touch()
    shutil.rmtree(STUBS, ignore_errors=True)
    fresh.rename(STUBS)


def mypy_plugin() -> str:
    """Returns the path of `protoc-gen-mypy_grpc`.

    It stands beside the interpreter in a virtual environment that is not on PATH, and on PATH in
    the environments that installers build in. Raises SystemExit where it is in neither place.
    """
    beside = Path(sys.executable).parent
    plugin = shutil.which("protoc-gen-mypy_grpc", path=beside) or shutil.which(
        "protoc-gen-mypy_grpc"
    )
    if plugin is None:
        raise SystemExit("protoc-gen-mypy_grpc is missing: install mypy-protobuf.")
    return plugin


if __name__ == "__main__":
    write_stubs()
