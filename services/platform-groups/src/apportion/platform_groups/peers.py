"""Who may call what."""

from __future__ import annotations

from apportion.rpc import Peers

V1 = "/apportion.api.platform_groups.v1."
REPLAY = "/apportion.api.common.v1.ReplayService/*"
READ_ACCOUNTS = (f"{V1}AccountsService/GetAccount", f"{V1}AccountsService/ListAccounts")
READ_SERVERS = (
    f"{V1}TradingServersService/GetTradingServer",
    f"{V1}TradingServersService/ListTradingServers",
    f"{V1}TradingServersService/ListSymbols",
    f"{V1}PlatformGroupsService/GetPlatformGroup",
    f"{V1}PlatformGroupsService/ListPlatformGroups",
)
ORDERS = (
    f"{V1}DealsService/BatchGetDeals",
    f"{V1}TradingService/SubmitOrders",
    f"{V1}TradingService/VoidOpens",
    f"{V1}TradingService/ListOrders",
    f"{V1}TradingService/ListPositions",
    f"{V1}TradingService/BatchGetPositions",
)
STATES = f"{V1}AccountsService/GetAccountStates"

PEERS: Peers = {
    "operator": (f"{V1}*", REPLAY),
    "allocation": (*ORDERS, f"{V1}TransfersService/BatchTransferFunds", STATES, *READ_ACCOUNTS, *READ_SERVERS, REPLAY),
    "fees": (f"{V1}TransfersService/*", *READ_ACCOUNTS, REPLAY),
    "risk": (
        f"{V1}TradingService/CloseAllPositions",
        f"{V1}TradingService/GetClosing",
        f"{V1}TradingService/ListPositions",
        f"{V1}TradingService/BatchGetPositions",
        f"{V1}AccountsService/SetAccountAccess",
        STATES,
        *READ_ACCOUNTS,
        *READ_SERVERS,
        REPLAY,
    ),
    "auth-gateway": READ_ACCOUNTS,
}
"""The operator alone registers servers, makes accounts and groups, resets passwords and throws the kill switch."""

CRITICAL_METHODS = (
    f"{V1}TradingService/SubmitOrders",
    f"{V1}TradingService/CloseAllPositions",
    f"{V1}TradingService/GetClosing",
    f"{V1}TradingService/SetKillSwitch",
    f"{V1}TradingService/VoidOpens",
    f"{V1}AccountsService/SetAccountAccess",
    STATES,
)
"""Orders, and what stops losses, have a pool of their own."""
