"""What breaks during a random day: the trading server answers late, wrongly or not at all, and processes are killed."""

from __future__ import annotations

import asyncio

from apportion.devstack.random_scene import RandomDay

SEND = "dealer/send_request"
RESULT = "dealer/get_request_result"
FAULTS: tuple[dict[str, object], ...] = (
    {"kind": "latency", "endpoint": SEND, "seconds": 0.2, "probability": 0.05, "count": 20},
    {"kind": "latency", "endpoint": "deal/get_batch", "seconds": 0.5, "count": 3},
    {"kind": "late_result", "endpoint": SEND, "seconds": 1.0, "probability": 0.1, "count": 10},
    {"kind": "requote", "endpoint": SEND, "probability": 0.1, "count": 10},
    {"kind": "reject", "endpoint": SEND, "retcode": 10006, "probability": 0.05, "count": 5},
    {"kind": "reject", "endpoint": SEND, "retcode": 10021, "probability": 0.1, "count": 10},
    {"kind": "reject", "endpoint": SEND, "retcode": 10024, "probability": 0.1, "count": 10},
    {"kind": "timeout", "endpoint": SEND, "probability": 0.1, "count": 5},
    {"kind": "lose_answer", "endpoint": SEND, "probability": 0.05, "count": 3},
    {"kind": "lose_result", "endpoint": SEND, "probability": 0.1, "count": 5},
    {"kind": "lose_result", "endpoint": RESULT, "count": 2},
    {"kind": "disconnect", "endpoint": "*", "probability": 0.02, "count": 3},
    {"kind": "forbidden", "endpoint": SEND, "count": 1},
    {"kind": "reject", "endpoint": "trade/balance", "retcode": 10006, "probability": 0.2, "count": 5},
    {"kind": "lose_answer", "endpoint": "trade/balance", "probability": 0.2, "count": 3},
)
VICTIMS = ("allocation", "platform-groups", "valkey", "fees")
KILL_SECONDS = 1.5
"""Longest time into the trading of a round before a process is killed."""


async def arm_faults(day: RandomDay) -> None:
    for fault in day.chance.sample(FAULTS, 2):
        options = {"seed": day.chance.randrange(1 << 30), **fault}
        await day.simulator.admin.request("POST", "/faults", options)
        day.counted[f"fault {fault['kind']}"] += 1


async def kill_one(day: RandomDay, number: int) -> None:
    """Each victim in turn, at a random moment, and starts it again at once."""
    victim = VICTIMS[(number + day.crowd.seed) % len(VICTIMS)]
    await asyncio.sleep(day.chance.random() * KILL_SECONDS)  # the random moment, not a wait for anything
    process = day.stack.valkey if victim == "valkey" else day.stack.services[victim]
    process.kill()
    await process.start()
    day.counted[f"killed {victim}"] += 1
