"""Without its database a service says so, typed, and serves again as soon as the database is back."""

from __future__ import annotations

import grpc
import pytest
from methods import all_methods
from test_error_table import SERVICES, Wire

from apportion.devstack.stack import Stack

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("contract")]


async def test_calls_fail_typed_and_recover(stack: Stack) -> None:
    wire = Wire(stack)
    listing = [method for method in all_methods() if method.lists and "Replay" not in method.path]
    lists = {service: next(m for m in listing if m.service == service) for service in SERVICES}
    stack.postgres.kill()
    try:
        for service, method in lists.items():
            assert await wire.call(method) == (grpc.StatusCode.UNAVAILABLE, "DB_UNAVAILABLE"), service
    finally:
        await stack.postgres.start()
    for service, method in lists.items():
        assert await _eventually_ok(wire, method), service
    await wire.close()


async def _eventually_ok(wire: Wire, method: object) -> bool:
    for _ in range(100):
        if (await wire.call(method))[0] == grpc.StatusCode.OK:  # type: ignore[arg-type]
            return True
    return False
