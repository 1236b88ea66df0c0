"""Who may call what."""

from __future__ import annotations

from apportion.rpc import Peers

READS = (
    "/apportion.api.fees.v1.TermsService/GetTerms",
    "/apportion.api.fees.v1.TermsService/ListTerms",
    "/apportion.api.fees.v1.CalculationsService/ListCalculations",
)
PAYMENTS = "/apportion.api.common.v1.PaymentsService/*"

PEERS: Peers = {
    "operator": ("/apportion.api.fees.v1.*", PAYMENTS),
    "auth-gateway": READS,
}
