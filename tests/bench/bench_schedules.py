"""What schedules cost: ``python -m tests.bench.bench_schedules [schedules]``.

Setting one, and a tick that makes its job: with 100 and with many (10,000 unless told); then a restart after two days,
and all of them due in the same minute. Ends with 1 when a tick among many costs twice that among few.
"""

import sys
import time
from itertools import count

from broker import protocol
from broker.actions import Peer
from broker.core import BrokerCore
from broker.rules import Rules

CLIENT = Peer('client', b'c')
NOON = 1_795_348_800.0
MISSED_H = 48


def main(many: int) -> int:
    """Measure and judge."""
    few, lot = costs(100), costs(many)
    for name, cost_us in lot.items():
        print(f'{name:8}{few[name]:9.1f} µs at 100{cost_us:9.1f} µs at {many:,}   ratio {cost_us / few[name]:.2f}')
    print(f'restart {restart_s(many):9.2f} s with {MISSED_H} ticks of each missed; longest turn {turn_ms(many):.0f} ms')
    return int(lot['tick'] > 2.0 * few['tick'])


def costs(schedules: int) -> dict[str, float]:
    """Microseconds for setting one, for a tick, and for one of those that are due together."""
    core = BrokerCore(Rules(max_waiting=10**9), boot='b')
    core.tick(NOON)
    began = time.perf_counter()
    for number in range(schedules):
        core.receive(CLIENT, protocol.SetSchedule(schedule=a_schedule(number, f'{number % 59 + 1} * * * *')), NOON)
    set_us = (time.perf_counter() - began) / schedules * 1e6
    now, made, spent = NOON, 0, 0.0
    for _ in range(59):
        now += 60.0
        at, began = made, time.perf_counter()
        while due := core.due_ids(now):
            made += len(due)
            core.tick(now)
        spent += time.perf_counter() - began if made > at else 0.0
    return {'set': set_us, 'tick': spent / made * 1e6}


def restart_s(schedules: int) -> float:
    """Seconds to take over schedules that have missed ticks, and to deal with all of them."""
    core = BrokerCore(Rules(max_waiting=10**9), boot='b')
    kept = [a_schedule(number, '7 * * * *', last_tick=NOON - MISSED_H * 3600) for number in range(schedules)]
    began = time.perf_counter()
    core.restore([], NOON, schedules=kept)
    while core.due_ids(NOON):
        core.tick(NOON)
    return time.perf_counter() - began


def turn_ms(schedules: int) -> float:
    """The longest single turn of the broker, milliseconds, while all come due in one minute."""
    core = BrokerCore(Rules(max_waiting=10**9), boot='b')
    core.restore([], NOON, schedules=[a_schedule(number, '0 * * * *', last_tick=NOON) for number in range(schedules)])
    turns = []
    for _ in count():
        if not core.due_ids(NOON + 3600):
            return max(turns) * 1000
        began = time.perf_counter()
        core.tick(NOON + 3600)
        turns.append(time.perf_counter() - began)
    raise AssertionError


def a_schedule(number: int, cron: str, last_tick: float = 0.0) -> protocol.Schedule:
    """One of many."""
    return protocol.Schedule(
        schedule_id=f's{number}',
        name='s',
        cron=cron,
        timezone='Europe/Berlin',
        kind='chat',
        model='m',
        body=b'{}',
        missed='once',
        last_tick=last_tick,
    )


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
