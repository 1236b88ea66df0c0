"""Do the books balance? Each check compares what a service says with what the trading server shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2
from apportion.api.fees.v1 import calculations_pb2
from apportion.api.platform_groups.v1 import transfers_pb2
from apportion.devstack.clients import Clients
from apportion.devstack.ledger import BALANCE_DEAL, ENTRY_IN, Ledger, minor
from apportion.devstack.shares import FollowedTrade, followed_trades
from apportion.devstack.world import E8, TRADE_FEE_MINOR, DemoMaster, World


@dataclass(frozen=True)
class Finding:
    """One check: what was counted, and each thing that is wrong (none: the books balance)."""

    check: str
    counted: str
    problems: list[str]


async def audit(world: World, clients: Clients, ledger: Ledger) -> list[Finding]:
    """All checks, in the order money flows: trades, positions, fees, transfers, balances."""
    findings = [check(world, ledger) for check in CHECKS]
    return [await _decisions_recompute(world, clients, ledger), *findings]


async def _decisions_recompute(world: World, clients: Clients, ledger: Ledger) -> Finding:
    """By the service that decided them, and from the server's deals alone: inputs and results."""
    problems: list[str] = []
    followed = {(trade.key, trade.deal_ticket): trade for trade in followed_trades(world, ledger)}
    children = 0
    for key, allocations in ledger.allocations.items():
        for allocation in allocations:
            request = allocations_pb2.ExplainAllocationRequest(allocation_id=allocation.allocation_id, page_size=1000)
            answer = await clients.call(clients.allocations.ExplainAllocation, request)
            children += len(answer.children)
            if not answer.agrees:
                problems.append(f"allocation {allocation.allocation_id} does not recompute to what is stored")
            trade = followed.get((key, allocation.deal_ticket))
            if trade is not None:
                problems += _differences(world.masters[key], trade, answer)
    return Finding("decisions recompute", f"{children} children of {len(followed)} deals", problems)


def _differences(
    master: DemoMaster, trade: FollowedTrade, explained: allocations_pb2.ExplainAllocationResponse
) -> list[str]:
    where = f"{trade.key}: deal {trade.deal_ticket}"
    stored = {child.account_login: child.stored_volume_e8 for child in explained.children}
    problems = [
        f"{where}: {login} should get {wanted}, {stored.get(login, 0)} was decided"
        for login, wanted in trade.expected_e8.items()
        if stored.get(login, 0) != wanted
    ]
    if trade.opens and master.style.method != masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER:
        bases = {child.account_login: child.basis for child in explained.children}
        if master.style.method == masters_pb2.ALLOCATION_METHOD_COPY_BY_EQUITY:
            bases[master.login] = explained.master_basis
        problems += [
            f"{where}: {login} had equity {trade.equities_minor[login]}, {basis} was taken"
            for login, basis in bases.items()
            if basis != trade.equities_minor[login]
        ]
    return problems


def _each_child_traded_its_share(world: World, ledger: Ledger) -> Finding:
    problems = []
    count = 0
    for trade in followed_trades(world, ledger):
        count += sum(map(bool, trade.expected_e8.values()))
        problems += [
            f"{trade.key}: after deal {trade.deal_ticket}, {login} traded {trade.traded_e8[login]}, not {wanted}"
            for login, wanted in trade.expected_e8.items()
            if trade.traded_e8[login] != wanted
        ]
    return Finding("each child traded its share", f"{count} orders", problems)


def _every_master_trade_is_allocated(world: World, ledger: Ledger) -> Finding:
    problems = []
    count = 0
    for key, master in world.masters.items():
        deals = {int(deal["Deal"]) for deal in ledger.server[master.login].trades}
        allocated = {allocation.deal_ticket for allocation in ledger.allocations[key]}
        count += len(deals)
        problems += [f"{key}: deal {ticket} has no allocation" for ticket in sorted(deals - allocated)]
        problems += [f"{key}: allocation of unknown deal {ticket}" for ticket in sorted(allocated - deals)]
    return Finding("each master deal allocated once", f"{count} deals", problems)


def _divided_trades_add_up(world: World, ledger: Ledger) -> Finding:
    problems = []
    count = 0
    for key, master in world.masters.items():
        if master.style.method != masters_pb2.ALLOCATION_METHOD_DIVIDE_BY_EQUITY:
            continue
        for allocation in ledger.allocations[key]:
            count += 1
            if allocation.child_volume_sum_e8 != allocation.master_volume_e8:
                problems.append(
                    f"allocation {allocation.allocation_id}: children {allocation.child_volume_sum_e8}, "
                    f"master {allocation.master_volume_e8}"
                )
    return Finding("divided trades add up", f"{count} allocations", problems)


def _no_double_child(world: World, ledger: Ledger) -> Finding:
    problems = []
    opened: Counter[int] = Counter()
    for key, followers in world.followers.items():
        tickets = {child.position_ticket for child in ledger.children[key] if child.position_ticket}
        for follower in followers:
            for deal in ledger.server[follower.login].trades:
                if deal["Entry"] == ENTRY_IN:
                    opened[follower.login] += 1
                    if int(deal["PositionID"]) not in tickets:
                        problems.append(f"{follower.key}: position {deal['PositionID']} has no child trade")
        pairs = Counter((child.allocation_id, child.subscription_id) for child in ledger.children[key])
        problems += [f"{key}: {pair} stands {count} times" for pair, count in pairs.items() if count > 1]
    return Finding("each position is one child", f"{sum(opened.values())} positions", problems)


def _children_are_as_on_the_server(world: World, ledger: Ledger) -> Finding:
    problems = []
    count = 0
    for key, followers in world.followers.items():
        children = ledger.children[key]
        actual = {
            int(position["Position"]): int(position["VolumeExt"]) * (1 if position["Action"] == "0" else -1)
            for follower in followers
            for position in ledger.server[follower.login].positions
        }
        desired = {child.position_ticket: child.open_volume_e8 for child in children if child.open_volume_e8}
        count += len(desired)
        problems += [
            f"{key}: position {ticket} is {actual.get(ticket, 0)} on the server, {desired.get(ticket, 0)} here"
            for ticket in sorted(actual.keys() | desired.keys())
            if actual.get(ticket, 0) != desired.get(ticket, 0)
        ]
    return Finding("desired = actual", f"{count} open children", problems)


def _each_closed_lot_is_charged_once(world: World, ledger: Ledger) -> Finding:
    problems = []
    charged: Counter[int] = Counter()
    keys: Counter[tuple[int, int]] = Counter()
    for calculation in ledger.calculations:
        charged[calculation.payer_account_id] += calculation.closed_volume_e8
        keys[calculation.child_trade_id, calculation.deal_ticket] += 1
        fee = (TRADE_FEE_MINOR * calculation.closed_volume_e8 + E8 // 2) // E8
        if calculation.fee.amount_minor != fee:
            problems.append(f"{calculation.line}: expected {fee}")
    problems += [f"close {key} is charged {count} times" for key, count in keys.items() if count > 1]
    for followers in world.followers.values():
        for follower in followers:
            closed = ledger.server[follower.login].closed_volume_e8()
            if closed != charged[follower.account_id]:
                problems.append(
                    f"{follower.key}: {closed} closed on the server, {charged[follower.account_id]} charged"
                )
    lots = sum(charged.values()) / E8
    return Finding("each closed lot charged once", f"{len(ledger.calculations)} charges, {lots:.2f} lots", problems)


def _fees_arrived(world: World, ledger: Ledger) -> Finding:
    problems = []
    total = 0
    for key, master in world.masters.items():
        mine = [c for c in ledger.calculations if c.master_id == master.master_id]
        problems += [
            f"{calculation.line}: {calculations_pb2.ChargeState.Name(calculation.charge_state)}"
            for calculation in mine
            if calculation.charge_state
            not in {calculations_pb2.CHARGE_STATE_PAID, calculations_pb2.CHARGE_STATE_NOTHING_DUE}
        ]
        earned = sum(calculation.fee.amount_minor for calculation in mine)
        wallet = ledger.server[master.wallet_login].balance_minor
        total += earned
        if wallet != earned:
            problems.append(f"{key}: the wallet holds {wallet}, fees are {earned}")
    return Finding("fees are in the managers' wallets", f"{total / 100:.2f} USD", problems)


def _transfers_are_zero_sum(world: World, ledger: Ledger) -> Finding:
    problems = []
    amounts = {
        int(deal["Deal"]): minor(deal["Profit"])
        for book in ledger.server.values()
        for deal in book.deals
        if deal["Action"] == BALANCE_DEAL
    }
    seen: Counter[int] = Counter()
    internal = [t for t in ledger.transfers if t.debit_account_id and t.credit_account_id]
    for transfer in internal:
        legs = [transfer.debit_deal_ticket, transfer.credit_deal_ticket, transfer.refund_deal_ticket]
        seen.update(ticket for ticket in legs if ticket)
        if sum(amounts.get(ticket, 0) for ticket in legs if ticket):
            problems.append(f"transfer {transfer.transfer_id} does not sum to zero")
        if transfer.state == transfers_pb2.TRANSFER_STATE_PENDING:
            problems.append(f"transfer {transfer.transfer_id} is still pending")
    problems += [f"deal {ticket} belongs to {count} legs" for ticket, count in seen.items() if count > 1]
    return Finding("transfers sum to zero", f"{len(internal)} transfers", problems)


def _balances_follow_from_deals(world: World, ledger: Ledger) -> Finding:
    problems = []
    for login, book in ledger.server.items():
        total = sum(minor(deal["Profit"]) + minor(deal["Storage"]) + minor(deal["Commission"]) for deal in book.deals)
        if total != book.balance_minor:
            problems.append(f"{login}: deals sum to {total}, balance is {book.balance_minor}")
    known = {deal["Deal"] for book in ledger.server.values() for deal in book.deals if deal["Action"] == BALANCE_DEAL}
    ours = {
        str(ticket)
        for transfer in ledger.transfers
        for ticket in (transfer.debit_deal_ticket, transfer.credit_deal_ticket, transfer.refund_deal_ticket)
        if ticket
    }
    problems += [f"balance operation {ticket} is none of ours" for ticket in sorted(known - ours)]
    return Finding("every balance is its deals", f"{len(ledger.server)} accounts", problems)


CHECKS: tuple[Callable[[World, Ledger], Finding], ...] = (
    _every_master_trade_is_allocated,
    _each_child_traded_its_share,
    _divided_trades_add_up,
    _no_double_child,
    _children_are_as_on_the_server,
    _each_closed_lot_is_charged_once,
    _fees_arrived,
    _transfers_are_zero_sum,
    _balances_follow_from_deals,
)


def final_books(world: World, ledger: Ledger) -> dict[str, object]:
    """What must be the same after every run of one day, whatever was killed on the way: no ids, no times."""
    books: dict[str, object] = {}
    for key, master in world.masters.items():
        books[f"{key} wallet"] = ledger.server[master.wallet_login].balance_minor
        books[f"{key} allocations"] = sorted(
            (a.kind, a.symbol, a.master_volume_e8, a.child_count, a.child_volume_sum_e8)
            for a in ledger.allocations[key]
        )
    for account in world.accounts:
        book = ledger.server[account.login]
        name = account.style.key if hasattr(account, "style") else account.key
        books[f"{name} balance"] = book.balance_minor
        books[f"{name} trades"] = sorted(
            (deal["Symbol"], deal["Action"], deal["Entry"], deal["VolumeExt"], deal["Price"]) for deal in book.trades
        )
    return books
