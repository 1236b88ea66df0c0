"""Server time, zone and common settings."""

from __future__ import annotations

from datetime import UTC, datetime

from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.call import Call, Handler, Reply
from apportion.mt5_simulator.web.session import Session


def server_time(server: Server, session: Session, call: Call) -> Reply:
    seconds = server.now_ms() // 1000
    civil = datetime.fromtimestamp(seconds, UTC)  # server time counts civil seconds, as if its zone were UTC
    return Reply({"Time": f"{seconds} {civil:%Y.%m.%d %H:%M:%S}"})


def zone(server: Server, session: Session, call: Call) -> Reply:
    """`TimeZone` is the offset in minutes without daylight saving; `DaylightState` says whether that is on now."""
    clock, utc_ms = server.clock, server.utc_ms()
    standard, now = clock.standard_offset_seconds(utc_ms), clock.offset_seconds(utc_ms)
    return Reply(
        {
            "Daylight": str(int(clock.zone.key != "UTC")),
            "DaylightState": str(int(now != standard)),
            "TimeZone": str(standard // 60),
            "TimeServer": "",
            "Days": [],
        }
    )


def common(server: Server, session: Session, call: Call) -> Reply:
    ledger = server.engine.ledger
    return Reply(
        {
            "Name": server.settings.name,
            "Owner": server.settings.name,
            "Product": "MT5",
            "ServerBuild": "4755",
            "TotalUsers": str(len(ledger.users)),
            "TotalUsersReal": "0",
            "TotalDeals": str(len(ledger.deals)),
            "TotalOrders": "0",
            "TotalOrdersHistory": str(len(ledger.orders)),
            "TotalPositions": str(len(ledger.positions)),
            "AccountURL": "",
        }
    )


HANDLERS: dict[str, Handler] = {"time/server": server_time, "time/get": zone, "common/get": common}
