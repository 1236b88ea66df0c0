"""Platform groups: protos to domain and back."""

from __future__ import annotations

from apportion.api.platform_groups.v1 import platform_groups_pb2
from apportion.platform_groups.domain.platform_groups import NewGroup, PlatformGroup
from apportion.platform_groups.wire.lengths import NAME_LENGTH
from apportion.rpc import Problems, to_timestamp

SERVER_GROUP_LENGTH = 63
TAG_COUNT = 20


def parse_new_group(request: platform_groups_pb2.CreatePlatformGroupRequest) -> NewGroup:
    problems = Problems()
    problems.positive(request.trading_server_id, "trading_server_id")
    problems.text(request.name, "name", longest=NAME_LENGTH)
    problems.text(request.server_group, "server_group", longest=SERVER_GROUP_LENGTH)
    code = request.currency_code
    problems.currency(code, "currency_code")
    problems.not_negative(request.account_capacity, "account_capacity")
    problems.not_negative(request.weight, "weight")
    problems.require(len(request.tags) <= TAG_COUNT, "tags", f"must be at most {TAG_COUNT}")
    for index, tag in enumerate(request.tags):
        problems.text(tag, f"tags[{index}]", longest=NAME_LENGTH)
    problems.not_negative(request.backup_platform_group_id, "backup_platform_group_id")
    problems.raise_if_any()
    return NewGroup(
        trading_server_id=request.trading_server_id,
        name=request.name,
        server_group=request.server_group,
        currency_code=code,
        default_leverage=request.default_leverage,
        account_capacity=request.account_capacity,
        weight=request.weight or 1,
        tags=tuple(request.tags),
        backup_platform_group_id=request.backup_platform_group_id,
    )


def render_group(group: PlatformGroup) -> platform_groups_pb2.PlatformGroup:
    return platform_groups_pb2.PlatformGroup(
        platform_group_id=group.platform_group_id,
        trading_server_id=group.trading_server_id,
        name=group.name,
        server_group=group.server_group,
        currency_code=group.currency_code,
        currency_digits=group.currency_digits,
        margin_mode=int(group.margin_mode),  # type: ignore[arg-type]
        default_leverage=group.default_leverage,
        account_capacity=group.account_capacity,
        weight=group.weight,
        tags=group.tags,
        state=int(group.state),  # type: ignore[arg-type]
        backup_platform_group_id=group.backup_platform_group_id,
        create_time=to_timestamp(group.create_time),
    )
