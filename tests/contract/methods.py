"""Every RPC of every service, found in the generated descriptors."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

PROTOS = Path(__file__).resolve().parents[2] / "protos"
REPLAY = "apportion.api.common.v1.ReplayService"


@dataclass(frozen=True)
class Method:
    service: str
    descriptor: MethodDescriptor

    @property
    def path(self) -> str:
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def writes(self) -> bool:
        return "request_id" in self.descriptor.input_type.fields_by_name

    @property
    def lists(self) -> bool:
        return "page_token" in self.descriptor.input_type.fields_by_name

    def request(self) -> Message:
        return message_factory.GetMessageClass(self.descriptor.input_type)()

    def __str__(self) -> str:
        return f"{self.service}.{self.descriptor.name}"


def all_methods() -> list[Method]:
    """In the order of the protos; the replay service counts for each service that serves it."""
    methods = []
    for proto in sorted((PROTOS / "apportion").rglob("*.proto")):
        module = importlib.import_module(".".join(proto.relative_to(PROTOS).with_suffix("").parts) + "_pb2")
        package = proto.parts[-3].replace("_", "-")
        for service in module.DESCRIPTOR.services_by_name.values():
            owners = ["platform-groups", "allocation", "risk"] if service.full_name == REPLAY else [package]
            methods += [Method(owner, method) for owner in owners for method in service.methods]
    return methods
