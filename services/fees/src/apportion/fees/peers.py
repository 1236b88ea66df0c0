"""Who may call what."""

from __future__ import annotations

from apportion.rpc import Peers

READS = (
    "/apportion.api.fees.v1.TermsService/GetTerms",
    "/apportion.api.fees.v1.TermsService/ListTerms",
    "/apportion.api.fees.v1.CalculationsService/ListCalculations",
)
REPLAY = "/apportion.api.common.v1.ReplayService/*"

PEERS: Peers = {
    "operator": ("/apportion.api.fees.v1.*", REPLAY),
    "auth-gateway": READS,
    "allocation": (*READS, REPLAY),
    "risk": (*READS, REPLAY),
    "platform-groups": (REPLAY,),
}
