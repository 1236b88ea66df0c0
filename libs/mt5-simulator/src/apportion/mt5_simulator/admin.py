"""The admin port: plain HTTP and JSON on the loopback, for those who run the simulator and for traders' terminals.

It is no part of the Web API: it moves the clock, sets prices, orders faults, and trades as a person at a terminal does
(Reason 0). Requests and answers are described by `process.AdminClient`, method by method.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from apportion.mt5_simulator.codes import DealAction, Refused, Retcode, Side, TradeMode
from apportion.mt5_simulator.domain.figures import parse_scaled
from apportion.mt5_simulator.domain.records import MarketRequest, ModifyRequest
from apportion.mt5_simulator.domain.settings import unescape_name
from apportion.mt5_simulator.faults import Fault
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.application import WebFront
from apportion.mt5_simulator.web.render import Renderer, render_account

_PASSWORD = "Trader1!"  # noqa: S105 - simulated accounts hold nothing
"""Main and investor password of accounts made here."""


class Admin:
    def __init__(self, server: Server, front: WebFront) -> None:
        self._server = server
        self._front = front

    def application(self) -> web.Application:
        application = web.Application(middlewares=[_errors_as_json])
        application.add_routes(
            [
                web.get("/status", self.status),
                web.post("/clock", self.clock),
                web.post("/price", self.price),
                web.post("/feed", self.feed),
                web.post("/symbol", self.symbol),
                web.get("/faults", self.list_faults),
                web.post("/faults", self.add_fault),
                web.delete("/faults", self.clear_faults),
                web.post("/disconnect", self.disconnect),
                web.post("/restart", self.restart),
                web.post("/accounts", self.create_accounts),
                web.post("/accounts/move", self.move_account),
                web.post("/accounts/delete", self.delete_account),
                web.post("/trader/order", self.order),
                web.post("/trader/close", self.close_position),
                web.post("/trader/modify", self.modify),
                web.get("/trader/account", self.account),
                web.get("/trader/positions", self.positions),
                web.get("/trader/deals", self.deals),
            ]
        )
        return application

    def _answer(self, document: Any) -> web.Response:
        self._server.save()
        return web.Response(body=msgspec.json.encode(document), content_type="application/json")

    async def status(self, request: web.Request) -> web.Response:
        server, ledger = self._server, self._server.engine.ledger
        return self._answer(
            {
                "server_time_ms": server.now_ms(),
                "utc_ms": server.utc_ms(),
                "speed": server.clock.speed,
                "paused": server.clock.paused,
                "frozen": server.engine.board.frozen,
                "accounts": len(ledger.users),
                "positions": len(ledger.positions),
                "deals": len(ledger.deals),
                "connections": self._front.session_count,
            }
        )

    async def clock(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "speed" in body or "paused" in body:
            speed = float(body["speed"]) if "speed" in body else None
            self._server.clock.change(time.monotonic(), speed=speed, paused=body.get("paused"))
        if "advance_seconds" in body:
            await self._server.advance(round(1000 * float(body["advance_seconds"])))
        self._server.save(always=True)
        return await self.status(request)

    async def price(self, request: web.Request) -> web.Response:
        body = await request.json()
        bid_e8, ask_e8 = parse_scaled(body["bid"], 8), parse_scaled(body["ask"], 8)
        self._server.engine.set_price(body["symbol"], bid_e8, ask_e8, self._server.now_ms())
        self._server.save(always=True)
        return self._answer({})

    async def feed(self, request: web.Request) -> web.Response:
        self._server.engine.freeze(bool((await request.json())["frozen"]))
        self._server.save(always=True)
        return self._answer({})

    async def symbol(self, request: web.Request) -> web.Response:
        body = await request.json()
        self._server.engine.set_trade_mode(body["symbol"], TradeMode(int(body["trade_mode"])))
        self._server.save(always=True)
        return self._answer({})

    async def list_faults(self, request: web.Request) -> web.Response:
        return self._answer(self._server.faults.listed())

    async def add_fault(self, request: web.Request) -> web.Response:
        fault = msgspec.json.decode(await request.read(), type=Fault)
        return self._answer({"id": self._server.faults.add(fault)})

    async def clear_faults(self, request: web.Request) -> web.Response:
        self._server.faults.clear()
        return self._answer({})

    async def disconnect(self, request: web.Request) -> web.Response:
        self._front.disconnect_all()
        return self._answer({})

    async def restart(self, request: web.Request) -> web.Response:
        """What clients see of a restart: sessions and account states are gone, everything booked is there."""
        self._server.engine.ledger.active.clear()
        self._front.disconnect_all()
        return self._answer({})

    async def create_accounts(self, request: web.Request) -> web.Response:
        body = await request.json()
        engine, now_ms = self._server.engine, self._server.now_ms()
        group = unescape_name(body["group"])
        deposit = parse_scaled(str(body.get("deposit", "0")), engine.valuation.group(group).currency_digits)
        logins = []
        for _ in range(int(body["count"])):
            user = engine.accounts.add(
                group=group,
                name=f"Trader {engine.ledger.next_login}",
                leverage=int(body.get("leverage", 0)),
                passwords={"main": _PASSWORD, "investor": _PASSWORD},
                now_ms=now_ms,
            )
            if deposit:
                engine.change_balance(user.login, DealAction.BALANCE, deposit, "deposit", now_ms)
            logins.append(user.login)
        return self._answer({"logins": logins})

    async def move_account(self, request: web.Request) -> web.Response:
        body = await request.json()
        engine = self._server.engine
        group = unescape_name(body["group"])
        engine.valuation.group(group)  # an unknown one is refused here, not ignored
        engine.accounts.move(engine.ledger.user(int(body["login"])), group)
        return self._answer({})

    async def delete_account(self, request: web.Request) -> web.Response:
        self._server.engine.accounts.delete(int((await request.json())["login"]))
        return self._answer({})

    async def order(self, request: web.Request) -> web.Response:
        body = await request.json()
        deal = self._server.engine.execute(
            MarketRequest(
                login=int(body["login"]),
                symbol=body["symbol"],
                side=Side[str(body["side"]).upper()],
                volume_e8=parse_scaled(str(body["volume"]), 8),
                price_sl_e8=parse_scaled(str(body.get("sl", "0")), 8),
                price_tp_e8=parse_scaled(str(body.get("tp", "0")), 8),
                comment=body.get("comment", ""),
            ),
            self._server.now_ms(),
        )
        return self._answer(Renderer(self._server.engine.valuation).deal(deal))

    async def close_position(self, request: web.Request) -> web.Response:
        body = await request.json()
        engine = self._server.engine
        position = engine.ledger.positions.get(int(body["position"]))
        if position is None:
            raise Refused(Retcode.POSITION_CLOSED)
        volume = body.get("volume")
        deal = engine.execute(
            MarketRequest(
                login=int(body["login"]),
                symbol=position.symbol,
                side=position.side.opposite,
                volume_e8=position.volume_e8 if volume is None else parse_scaled(str(volume), 8),
                position=position.position,
                comment=body.get("comment", ""),
            ),
            self._server.now_ms(),
        )
        return self._answer(Renderer(engine.valuation).deal(deal))

    async def modify(self, request: web.Request) -> web.Response:
        body = await request.json()
        position = self._server.engine.modify(
            ModifyRequest(
                login=int(body["login"]),
                position=int(body["position"]),
                price_sl_e8=parse_scaled(str(body["sl"]), 8),
                price_tp_e8=parse_scaled(str(body["tp"]), 8),
            ),
            self._server.now_ms(),
        )
        return self._answer(Renderer(self._server.engine.valuation).position(position))

    def _login(self, request: web.Request) -> int:
        return self._server.engine.ledger.user(int(request.query["login"])).login

    async def account(self, request: web.Request) -> web.Response:
        engine = self._server.engine
        return self._answer(render_account(engine.valuation.account(engine.ledger.users[self._login(request)])))

    async def positions(self, request: web.Request) -> web.Response:
        engine = self._server.engine
        render = Renderer(engine.valuation).position
        return self._answer([render(position) for position in engine.ledger.positions_of(self._login(request))])

    async def deals(self, request: web.Request) -> web.Response:
        engine = self._server.engine
        render = Renderer(engine.valuation).deal
        return self._answer([render(deal) for deal in engine.ledger.deals_of(self._login(request))])


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refusal:
        return web.json_response({"error": str(refusal), "retcode": refusal.retcode}, status=409)
    except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
