"""Every RPC of every service, found in the generated descriptors."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

import apportion.api

REPLAY = "apportion.api.common.v1.ReplayService"
SHARED = {
    REPLAY: ("platform-groups", "allocation", "risk"),
    "apportion.api.common.v1.PaymentsService": ("allocation", "fees"),
}


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

    @property
    def ids(self) -> list[str]:
        """What names something a broker owns, in the order of the request; a column of ids by the name of one."""
        return [_id_name(field) for field in self.descriptor.input_type.fields if _is_id(field)]

    def filled(self, ids: Mapping[str, int], request_id: str = "") -> Message:
        """A request with these ids; with a request id also with something plausible in every other plain field.

        Columns have one row where one of them names an id.
        """
        request, fields = self.request(), self.descriptor.input_type.fields
        has_row = any(_is_column(field) and _id_name(field) in ids for field in fields)
        for field in fields:
            if _is_column(field):
                getattr(request, field.name).extend([ids.get(_id_name(field), 1)] * has_row)
            elif field.name in ids:
                setattr(request, field.name, ids[field.name])
            elif request_id and not field.is_repeated:
                _fill(request, field, request_id)
        return request

    def __str__(self) -> str:
        return f"{self.service}.{self.descriptor.name}"


def all_methods() -> list[Method]:
    """In the order of the protos; a shared one counts for each service that serves it."""
    methods = []
    [root] = apportion.api.__path__
    for generated in sorted(Path(root).rglob("*_pb2.py")):
        module = importlib.import_module(
            ".".join(["apportion.api", *generated.relative_to(root).with_suffix("").parts])
        )
        package = generated.parts[-3].replace("_", "-")
        for service in module.DESCRIPTOR.services_by_name.values():
            owners = SHARED.get(service.full_name, (package,))
            methods += [Method(owner, method) for owner in owners for method in service.methods]
    return methods


def _is_column(field: FieldDescriptor) -> bool:
    return field.is_repeated and field.type in (FieldDescriptor.TYPE_SFIXED64, FieldDescriptor.TYPE_SFIXED32)


def _is_id(field: FieldDescriptor) -> bool:
    """Items are numbered by the caller."""
    name, is_number = _id_name(field), field.cpp_type == FieldDescriptor.CPPTYPE_INT64
    return is_number and name.endswith("_id") and name != "item_id" and field.is_repeated == _is_column(field)


def _id_name(field: FieldDescriptor) -> str:
    return field.name.removesuffix("s") if _is_column(field) else field.name


def _fill(request: Message, field: FieldDescriptor, request_id: str) -> None:
    if field.name == "request_id":
        setattr(request, field.name, request_id)
    elif field.name == "etag" or _is_id(field):
        return
    elif field.message_type is not None and field.message_type.name == "Money":
        getattr(request, field.name).MergeFrom(
            type(getattr(request, field.name))(currency_code="USD", amount_minor=100)
        )
    elif field.enum_type is not None:
        setattr(request, field.name, field.enum_type.values[-1].number)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        setattr(request, field.name, "test")
    elif field.cpp_type == FieldDescriptor.CPPTYPE_INT64:
        setattr(request, field.name, 100_000_000 if field.name.endswith("_e8") else 1)
