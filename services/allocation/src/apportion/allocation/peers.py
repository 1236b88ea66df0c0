"""Who may call what."""

from __future__ import annotations

from apportion.rpc import Peers

API = "/apportion.api.allocation.v1"
REPLAY = "/apportion.api.common.v1.ReplayService/*"
READS = (
    f"{API}.MastersService/GetMaster",
    f"{API}.MastersService/ListMasters",
    f"{API}.MastersService/GetMasterSummary",
    f"{API}.SubscriptionsService/GetSubscription",
    f"{API}.SubscriptionsService/ListSubscriptions",
    f"{API}.AllocationsService/GetAllocation",
    f"{API}.AllocationsService/ListAllocations",
    f"{API}.AllocationsService/ExplainAllocation",
    f"{API}.AllocationsService/ListChildTrades",
    f"{API}.AllocationsService/ListMasterTrades",
    f"{API}.AllocationsService/GetFairnessReport",
    f"{API}.AllocationsService/ListHistory",
    f"{API}.StatisticsService/*",
    f"{API}.AllocationsService/PreviewTrade",
    f"{API}.DistributionsService/*",
)
HALTS = (f"{API}.MastersService/HaltMaster", f"{API}.MastersService/ResumeMaster")

PAYMENTS = "/apportion.api.common.v1.PaymentsService/*"

PEERS: Peers = {
    "operator": (f"{API}.*", REPLAY, PAYMENTS),
    "auth-gateway": READS,
    "fees": (*READS, REPLAY),
    "risk": (*READS, *HALTS, REPLAY),
    "platform-groups": (REPLAY,),
}
CRITICAL_METHODS = HALTS
"""They have places of their own: a halt does not queue behind statements."""
