"""What a backlog costs the core: ``python -m tests.bench.bench_backlog [jobs]``.

200 users, 20 models and 3 priorities; a submit, a dispatch, a line of an answer and a standing, each with 1,000 jobs
waiting and with many (100,000 unless told). Prints the costs, their ratios, the memory of a waiting job, and how long
a restart takes. Ends with 1 when a limit is broken: twice the cost, 1.5 KB a job, 20 s for a million jobs.
"""

import gc
import os
import statistics
import sys
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable

from broker import facts, intake, protocol
from broker.actions import Action, Peer, SendJob
from broker.core import BrokerCore
from broker.rules import Rules

USERS, MODELS, SLOTS = 200, 20, 8
CLIENT, WORKER = Peer('client', b'c'), Peer('worker', b'w')
STEPS = 800  # per measurement, so that 1,000 jobs stay about so many
NOW = 1_700_000_000.0


def main(many: int) -> int:
    """Measure and judge."""
    before, after = costs(1_000), costs(many)
    for name, cost_us in after.items():
        print(
            f'{name:9}{before[name]:9.1f} µs at 1,000{cost_us:9.1f} µs at {many:,}   ratio {cost_us / before[name]:.2f}'
        )
    size = bytes_per_job(min(many, 100_000))
    restore_s = restart(many)
    print(f'memory   {size:9.0f} bytes per waiting job\nrestart  {restore_s:9.2f} s')
    worst = max(after[name] / before[name] for name in ('submit', 'dispatch', 'line'))
    return int(worst > 2.0 or size > 1_500 or restore_s > 20.0 * max(1.0, many / 1e6))


def costs(jobs: int) -> dict[str, float]:
    """Medians in microseconds with so many jobs waiting."""
    core = filled(jobs)
    found = {'submit': median_us(lambda step: core.receive(CLIENT, submit(jobs + step), NOW))}
    runs = deque(assigned(core.receive(WORKER, ready(), NOW)))
    first = runs.popleft()
    found['line'] = median_us(
        lambda step: core.receive(WORKER, protocol.Tokens(**first, index=step, lines=(b'{}',)), NOW)
    )

    def finish(step: int) -> None:
        done = protocol.Finished(**runs.popleft(), lines=0, usage=facts.Usage(output_tokens=9))
        runs.extend(assigned(core.receive(WORKER, done, NOW + 1 + step / 100)))

    found['dispatch'] = median_us(finish)
    core.tick(NOW + 60)

    def stand(step: int) -> None:
        core.receive(CLIENT, submit(2 * jobs + STEPS + step), NOW + 100 + step)
        core.tick(NOW + 100 + step)

    found['standing'] = median_us(stand, steps=20)
    return found


def bytes_per_job(jobs: int) -> float:
    """What one more waiting job takes."""
    gc.collect()
    tracemalloc.start()
    core = filled(jobs)
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del core
    return size / jobs


def restart(jobs: int) -> float:
    """Seconds in which a new core takes over what was left."""
    left = [intake.job_from(submit(number), number, NOW) for number in range(1, jobs + 1)]
    core = BrokerCore(rules(jobs), boot='b', last_seq=jobs, last_order=jobs)
    began = time.perf_counter()
    core.restore(left, NOW + 1)
    core.tick(NOW + 1)
    return time.perf_counter() - began


def filled(jobs: int) -> BrokerCore:
    """A core with so many jobs and nobody to run them."""
    core = BrokerCore(rules(jobs), boot='b')
    for number in range(jobs):
        core.receive(CLIENT, submit(number), NOW)
    return core


def rules(jobs: int) -> Rules:
    """Room for all of them."""
    return Rules(max_waiting=2 * jobs + 10 * STEPS, lease_ttl_s=1e6)


def submit(number: int) -> protocol.Submit:
    """Job ``number``, with strings of its own as they come off the wire."""
    return protocol.Submit(
        job_id=f'{number:032x}',
        kind='chat',
        model=f'model:{number % MODELS}',
        body=b'{}',
        priority=5 + number // 7 % 3,
        user=f'user-{number // MODELS % USERS}',
        conversation_id=f'{number // 3:032x}',
    )


def ready() -> protocol.Ready:
    """A worker that has all models."""
    models = tuple(facts.ModelInfo(name=f'model:{number}', engine='demo') for number in range(MODELS))
    return protocol.Ready(
        worker='w',
        session='s',
        host='h',
        pid=os.getpid(),
        engine='demo',
        engine_version='1',
        slots=SLOTS,
        models=models,
    )


def assigned(actions: Iterable[Action]) -> list[dict[str, object]]:
    """The runs that were given out."""
    sent = (action.message for action in actions if isinstance(action, SendJob))
    return [{'job_id': message.job_id, 'epoch': message.epoch} for message in sent]


def median_us(step: Callable[[int], object], steps: int = STEPS) -> float:
    """The median time of a step."""
    times = []
    for number in range(steps):
        began = time.perf_counter()
        step(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
