"""What the broker's desk does between the rounds of a random day: settings, subscriptions that end and begin, halts."""

from __future__ import annotations

from dataclasses import replace

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.devstack.clients import request_id
from apportion.devstack.crowd import CrowdMaster, Link, insist, subscribe
from apportion.devstack.random_scene import Copied, RandomDay
from apportion.devstack.random_terms import DIVIDING, draw_parameters, draw_settings

LEAVES = (
    subscriptions_pb2.LEAVE_POLICY_CLOSE,
    subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER,
    subscriptions_pb2.LEAVE_POLICY_DETACH,
)
STAYS = subscriptions_pb2.LEAVE_POLICY_UNSPECIFIED
HALTS = 0.1
"""How many masters are halted in a round, for that round."""


async def change_settings(day: RandomDay) -> None:
    """Several masters' subscriptions, each master's in one call: parameters, settings, active."""
    for master in day.crowd.masters:
        followers = master.followers
        if not followers or day.chance.random() > 0.5:
            continue
        changed = [_changed(day, master, link) for link in day.chance.sample(followers, len(followers) // 8 + 1)]
        request = subscriptions_pb2.BatchUpdateSubscriptionsRequest(
            request_id=request_id("change", day.number, master.master_id),
            master_id=master.master_id,
            changes=[_change(link) for link in changed],
        )
        await insist(day.clients, day.clients.subscriptions.BatchUpdateSubscriptions, request)
        master.links |= {link.subscription_id: link for link in changed}
        day.counted["subscriptions changed"] += len(changed)


def _changed(day: RandomDay, master: CrowdMaster, link: Link) -> Link:
    """Whether stops are copied stays as it was: it would hold for what is open, too."""
    kind = day.chance.choice(["active", "active", "parameters", "settings"])
    if kind == "active":
        day.counted["deactivated" if link.active else "activated"] += 1
        return replace(link, active=not link.active)
    if kind == "settings":
        settings = draw_settings(day.chance, master.terms, ignores_stops=link.settings.ignore_stops)
        return replace(link, settings=settings)
    return replace(link, **draw_parameters(day.chance, master.terms, len(master.links)))


def _change(link: Link) -> subscriptions_pb2.SubscriptionChange:
    return subscriptions_pb2.SubscriptionChange(
        subscription_id=link.subscription_id,
        active=link.active,
        ratio_e8=link.ratio_e8,
        lot_e8=link.lot_e8,
        percent_e8=link.percent_e8,
        lot_mode=link.lot_mode,
        settings=link.settings,
    )


async def leave(day: RandomDay) -> None:
    """Two subscriptions end in each round, in the three ways in turn. Records end only with their master's trade."""
    for number in (2 * day.number, 2 * day.number + 1):
        master = day.chance.choice(day.crowd.masters)
        if not master.followers:
            continue
        link = day.chance.choice(master.followers)
        policy = subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER
        if not master.terms.distributes:
            policy = LEAVES[number % len(LEAVES)]
        if policy == subscriptions_pb2.LEAVE_POLICY_DETACH:
            await _note_kept(day, link)
        request = subscriptions_pb2.EndSubscriptionRequest(
            request_id=request_id("leave", link.subscription_id),
            subscription_id=link.subscription_id,
            leave_policy=policy,
        )
        await insist(day.clients, day.clients.subscriptions.EndSubscription, request)
        master.links[link.subscription_id] = replace(link, left=policy)
        day.counted[f"left {subscriptions_pb2.LeavePolicy.Name(policy).removeprefix('LEAVE_POLICY_')}"] += 1


async def _note_kept(day: RandomDay, link: Link) -> None:
    """What is open stays with whom is detached; what fills later is closed at once."""
    request = allocations_pb2.ListChildTradesRequest(
        subscription_id=link.subscription_id, only_open=True, page_size=1_000
    )
    answer = await insist(day.clients, day.clients.allocations.ListChildTrades, request)
    day.kept |= {child.child_trade_id for child in answer.child_trades}


async def come_back(day: RandomDay) -> None:
    """Some who have left, but not with their last trade, subscribe again; where it may be, copying what is open."""
    for master in day.crowd.masters:
        last = {link.login: link for _, link in sorted(master.links.items())}
        for link in last.values():
            is_free = link.left not in {STAYS, subscriptions_pb2.LEAVE_POLICY_CLOSE_WITH_MASTER}
            # A netting account that still has something open may not begin to follow.
            if is_free and not link.nets and day.chance.random() < 0.5:
                await _subscribe_again(day, master, link)


async def _subscribe_again(day: RandomDay, master: CrowdMaster, before: Link) -> None:
    settings = draw_settings(day.chance, master.terms, ignores_stops=before.settings.ignore_stops)
    settings.copy_open_positions = master.terms.method not in DIVIDING
    parameters = draw_parameters(day.chance, master.terms, len(master.links))
    held = await day.simulator.admin.positions(master.login)
    key = f"again/{before.subscription_id}"
    link = await subscribe(day.clients, master, before.account_id, before.login, key, parameters, settings)
    master.links[link.subscription_id] = link
    day.counted["subscribed again"] += 1
    if settings.copy_open_positions:
        volumes = tuple(int(p["VolumeExt"]) * (1 if p["Action"] == "0" else -1) for p in held)
        day.copied[link.subscription_id] = Copied(link, volumes, master.is_halted, day.rounds[-1].time_ms)


async def halt_and_resume(day: RandomDay) -> None:
    """Masters halted in the round before go on; others are halted."""
    for master in day.crowd.masters:
        if master.is_halted:
            resume = masters_pb2.ResumeMasterRequest(
                request_id=request_id("resume", day.number, master.master_id),
                master_id=master.master_id,
                cause=f"desk/{day.number - 1}",
            )
            await insist(day.clients, day.clients.masters.ResumeMaster, resume)
            master.is_halted = False
        elif day.chance.random() < HALTS:
            halt = masters_pb2.HaltMasterRequest(
                request_id=request_id("halt", day.number, master.master_id),
                master_id=master.master_id,
                cause=f"desk/{day.number}",
            )
            await insist(day.clients, day.clients.masters.HaltMaster, halt)
            master.is_halted = True
            day.counted["masters halted"] += 1
