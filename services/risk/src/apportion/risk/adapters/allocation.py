"""allocation, as this service asks it."""

from __future__ import annotations

from uuid import UUID

import grpc
import structlog

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc
from apportion.errors import RemoteError
from apportion.risk.domain.limits import MasterAccount
from apportion.rpc import call_options

log = structlog.get_logger()

NOT_OUR_LATCH = "HALT_CAUSE_MISMATCH"


class AllocationMasters:
    """Masters over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._stub = masters_pb2_grpc.MastersServiceStub(channel)
        self._call_seconds = call_seconds

    async def master_account(self, label: int, master_id: int) -> MasterAccount:
        request = masters_pb2.GetMasterRequest(master_id=master_id)
        answer = await self._stub.GetMaster(request, **call_options(label, self._call_seconds))
        master = answer.master
        return MasterAccount(
            master_id=master.master_id,
            account_id=master.account_id,
            trading_server_id=master.trading_server_id,
            currency_code=master.currency_code,
        )

    async def halt(self, label: int, master_id: int, cause: str, request_id: UUID) -> None:
        request = masters_pb2.HaltMasterRequest(request_id=str(request_id), master_id=master_id, cause=cause)
        await self._stub.HaltMaster(request, **call_options(label, self._call_seconds))

    async def resume(self, label: int, master_id: int, cause: str, request_id: UUID) -> None:
        request = masters_pb2.ResumeMasterRequest(request_id=str(request_id), master_id=master_id, cause=cause)
        try:
            await self._stub.ResumeMaster(request, **call_options(label, self._call_seconds))
        except RemoteError as error:
            if error.reason != NOT_OUR_LATCH:
                raise
            log.warning("master_not_halted_by_us", label=label, master_id=master_id, cause=cause)
