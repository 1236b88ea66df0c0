"""Who may call what."""

from __future__ import annotations

from apportion.rpc import Peers

READS = (
    "/apportion.api.risk.v1.LimitsService/GetDailyLimit",
    "/apportion.api.risk.v1.LimitsService/ListDailyLimits",
    "/apportion.api.risk.v1.TripsService/*",
)
REPLAY = "/apportion.api.common.v1.ReplayService/*"

PEERS: Peers = {
    "operator": ("/apportion.api.risk.v1.*", REPLAY),
    "auth-gateway": READS,
}
