"""The stubs that are imported say what the protos say."""

from __future__ import annotations

import importlib
from importlib.resources import files as package_files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from tests.tidy.sources import ROOT
from tests.tidy.sources import files as repository_files

PROTOS = ROOT / "protos"
NAMES = sorted(
    path.removeprefix("protos/") for path in repository_files() if path.endswith(".proto")
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    """Descriptors of the protos as they stand."""
    target = tmp_path_factory.mktemp("descriptors") / "all"
    failed = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={package_files('grpc_tools') / '_proto'}",
            f"--descriptor_set_out={target}",
            *(str(PROTOS / name) for name in NAMES),
        ]
    )
    assert not failed
    return {
        each.name: each for each in FileDescriptorSet.FromString(Path(target).read_bytes()).file
    }


@pytest.mark.parametrize("name", NAMES)
def test_stubs_are_those_of_the_protos(compiled: dict[str, FileDescriptorProto], name: str) -> None:
    """A proto that was edited was compiled again: `python protos/build_stubs.py`."""
    module_name = name.removesuffix(".proto").replace("/", ".") + "_pb2"
    stub = importlib.import_module(f"unify_grpc._pb.{module_name}")
    known = FileDescriptorProto()
    stub.DESCRIPTOR.CopyToProto(known)

    assert _plain(compiled[name]) == _plain(known)


def _plain(descriptor: FileDescriptorProto) -> FileDescriptorProto:
    """Returns a descriptor without what only one way of compiling adds: names in JSON."""
    plain = FileDescriptorProto()
    plain.CopyFrom(descriptor)
    waiting = list(plain.message_type)
    while waiting:
        message = waiting.pop()
        for field in message.field:
            field.ClearField("json_name")
        waiting.extend(message.nested_type)
    return plain


def test_the_protos_are_found() -> None:
    """There are protos to compare, services among them."""
    assert any(name.endswith("ingest_service.proto") for name in NAMES)
    assert len(NAMES) >= 8
