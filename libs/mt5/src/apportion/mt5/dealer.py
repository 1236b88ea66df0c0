"""Dealer requests: queue an order, read its result on the same connection.

Up to 128 requests may wait on one connection. A result is read once; it is gone after 3 minutes or with the connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apportion.mt5.comments import uncut
from apportion.mt5.connection import Connection, Permit
from apportion.mt5.enums import FillType, RequestAction, RequestFlags, Side
from apportion.mt5.errors import UnexpectedReply
from apportion.mt5.numbers import PRICE_DIGITS, VOLUME_EXT_PER_VOLUME, fixed, to_fixed, volume_e8
from apportion.mt5.reply import decode
from apportion.mt5.retcodes import PENDING, parse_retcode


@dataclass(frozen=True, slots=True)
class DealerRequest:
    """A market order: signed volume in 1e-8 lot; with a position ticket it closes that position or part of it."""

    login: int
    symbol: str
    digits: int
    volume_e8: int
    comment: str
    position: int = 0
    price_e8: int = 0
    stop_loss_e8: int = 0
    take_profit_e8: int = 0
    fill_type: FillType = FillType.FILL_OR_KILL
    """See `Symbol.fill_type`: a server refuses (10030) one that the symbol does not have."""

    def body(self) -> dict[str, str]:
        """The JSON form. Raises ValueError when the server would cut the comment."""
        volume = abs(self.volume_e8)
        return {
            "Action": str(int(RequestAction.EXECUTE)),
            "Login": str(self.login),
            "Symbol": self.symbol,
            "Digits": str(self.digits),
            "Volume": str(volume // VOLUME_EXT_PER_VOLUME),
            "VolumeExt": str(volume),
            "Type": str(int(Side.BUY if self.volume_e8 > 0 else Side.SELL)),
            "TypeFill": str(int(self.fill_type)),
            "PriceOrder": to_fixed(self.price_e8, PRICE_DIGITS),
            "PriceSL": to_fixed(self.stop_loss_e8, PRICE_DIGITS),
            "PriceTP": to_fixed(self.take_profit_e8, PRICE_DIGITS),
            "Position": str(self.position),
            "Flags": str(int(RequestFlags.CLOSE if self.position else RequestFlags.NONE)),
            "Comment": uncut(self.comment),
        }


@dataclass(frozen=True, slots=True)
class ModifyRequest:
    """New stop loss and take profit of an open position, both at once: 0 clears.

    The result is 10009, or 10025 when they are as wished already, 10016 when the market forbids them, 10036 when the
    position is closed. Repeating it does no harm.
    """

    login: int
    symbol: str
    digits: int
    position: int
    stop_loss_e8: int = 0
    take_profit_e8: int = 0

    def body(self) -> dict[str, str]:
        """The JSON form."""
        return {
            "Action": str(int(RequestAction.MODIFY_POSITION)),
            "Login": str(self.login),
            "Symbol": self.symbol,
            "Digits": str(self.digits),
            "Position": str(self.position),
            "PriceSL": to_fixed(self.stop_loss_e8, PRICE_DIGITS),
            "PriceTP": to_fixed(self.take_profit_e8, PRICE_DIGITS),
        }


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What became of a request. Volume, price and tickets are 0 when nothing was done."""

    retcode: int
    volume_e8: int = 0
    price_e8: int = 0
    deal: int = 0
    order: int = 0


@dataclass(frozen=True, slots=True)
class Results:
    """`finished` by request id; `gone` are ids whose result can never be read: their outcome is unknown."""

    finished: dict[int, Confirmation]
    gone: list[int]


async def send(connection: Connection, request: DealerRequest | ModifyRequest, *, permit: Permit | None = None) -> int:
    """Queues a request and returns its id. A write: see `Connection.call`. Refused means that it was not queued."""
    reply = await connection.call("dealer/send_request", None, request.body(), write=True, permit=permit)
    answer = reply.as_type(dict[str, Any])
    for key, value in answer.items():
        if key.lower() == "id":
            return int(value)
    raise UnexpectedReply("dealer/send_request: no id")


async def results(connection: Connection, ids: Sequence[int]) -> Results:
    """The results that are there for these requests, in one call; what is still pending is in neither part."""
    reply = await connection.call("dealer/get_request_result", {"id": ",".join(map(str, ids))})
    by_id = _by_id(reply.raw)
    finished: dict[int, Confirmation] = {}
    gone: list[int] = []
    for id_ in ids:
        if str(id_) not in by_id:
            gone.append(id_)
        elif (confirmation := _confirmation(by_id[str(id_)])) is not None:
            finished[id_] = confirmation
    return Results(finished, gone)


def _by_id(raw: bytes) -> dict[str, Any]:
    """The lists keyed by request id, found under `answer` or at the top level."""
    content = decode(raw, dict[str, Any])
    answer = content.get("answer")
    return answer if isinstance(answer, dict) else content


def _confirmation(parts: Any) -> Confirmation | None:
    """None while the request is pending. Takes the confirm, and from the request echo what the confirm lacks."""
    if not isinstance(parts, list):
        raise UnexpectedReply("dealer/get_request_result: an entry is no list")
    result: dict[str, str] = {}
    echo: dict[str, str] = {}
    for part in parts:
        result = part.get("result", result)
        echo = part.get("answer", echo)
    code = result.get("Retcode", echo.get("ResultRetcode"))
    if code is None:
        return None
    retcode = parse_retcode(code)
    if retcode in PENDING:
        return None
    return Confirmation(
        retcode=retcode,
        volume_e8=volume_e8(
            int(result.get("VolumeExt", echo.get("ResultVolumeExt", 0))),
            int(result.get("Volume", echo.get("ResultVolume", 0))),
        ),
        price_e8=fixed(str(result.get("Price", echo.get("ResultPrice", "0"))), PRICE_DIGITS),
        deal=int(result.get("DealID", echo.get("ResultDeal", 0))),
        order=int(result.get("OrderID", echo.get("ResultOrder", 0))),
    )
