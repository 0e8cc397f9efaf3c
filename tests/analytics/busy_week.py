"""A made-up week of a small team, as facts: busy by day, quiet at night, a bad Wednesday; the same for each seed."""

import heapq
import math
import random
from collections.abc import Iterator

from broker import facts

MODELS = {  # tokens per second, and how often it is asked
    'qwen3:8b': (60.0, 0.5),
    'llama3.3:70b': (14.0, 0.2),
    'gemma3:4b': (95.0, 0.2),
    '通义千问2.5:32b': (26.0, 0.1),
}
USERS = {'ana': 0.3, 'bruno': 0.2, '陈晓': 0.2, 'editor-plugin': 0.15, 'nightly-report': 0.1, '': 0.05}
WORKERS = {'gpu-box-1': 2, 'ana-laptop': 1}
CODES = ('idle_timeout', 'unreachable', 'runner_crashed', 'model_not_found', 'first_token_timeout')
DAY_S = 86_400.0


def week(until: float, jobs: int = 5000, *, days: float = 7.0, seed: int = 1) -> list[facts.AnyFact]:
    """All facts of so many jobs that were queued in the ``days`` before ``until``, in order, from seq 1."""
    chance = random.Random(seed)
    since = until - days * DAY_S
    told = list(_joins(since))
    free = [(since, n, worker) for n, worker in enumerate(w for w, slots in WORKERS.items() for _ in range(slots))]
    heapq.heapify(free)
    for number, at in enumerate(sorted(_arrivals(chance, since, until, jobs))):
        job = _job(chance, number)
        told.append((at, facts.JobQueued, {**job, 'body_bytes': chance.randint(80, 4000)}))
        if chance.random() < 0.03:
            end = at + chance.uniform(1, 30)
            told.append((end, facts.JobCancelled, _ended(job, at, 0.0, end, '', facts.Usage())))
            continue
        ready, slot, worker = heapq.heappop(free)
        start = max(at + 0.02, ready)
        guess, width = start - at + chance.gauss(0, 2 + 0.25 * (start - at)), 3 + 0.3 * (start - at)
        predicted = {'predicted_from': at + max(0.0, guess - width), 'predicted_until': at + max(1.0, guess + width)}
        usage, ran_s = _run(chance, job['model'])
        bad = chance.random() < (0.16 if _day(at) == 2 else 0.025)
        told.append((start, facts.JobStarted, {
            'job_id': job['job_id'], 'epoch': 1, 'worker': worker, 'starts': 1, 'waited_s': start - at, **predicted,
        }))  # fmt: skip
        ran_s = min(ran_s, 20.0) if bad else ran_s
        fields = _ended(job, at, start, start + ran_s, worker, facts.Usage() if bad else usage)
        if bad:
            fields |= {'code': chance.choice(CODES), 'detail': 'It did not work.', 'failures': 1}
        told.append((start + ran_s, facts.JobDied if bad else facts.JobCompleted, fields))
        heapq.heappush(free, (start + ran_s, slot, worker))
    told = [item for item in told if item[0] < until]
    told.sort(key=lambda item: item[0])
    return [kind(seq=seq, at=at, **fields) for seq, (at, kind, fields) in enumerate(told, 1)]


def _joins(since: float) -> Iterator[tuple[float, type[facts.Fact], dict[str, object]]]:
    models = tuple(facts.ModelInfo(name=name, engine='ollama') for name in MODELS)
    for worker, slots in WORKERS.items():
        yield since, facts.WorkerJoined, {
            'worker': worker, 'session': f's-{worker}', 'host': worker, 'pid': 7, 'engine': 'ollama',
            'engine_version': '0.12', 'slots': slots, 'models': models, 'labels': (),
        }  # fmt: skip


def _arrivals(chance: random.Random, since: float, until: float, jobs: int) -> Iterator[float]:
    """More by day than by night, fewer at the weekend."""
    made = 0
    while made < jobs:
        at = chance.uniform(since, until)
        hour, day = at % DAY_S / 3600, _day(at)
        rate = 0.06 + 0.94 * max(0.0, math.sin((hour - 7) / 11 * math.pi)) if 7 <= hour <= 18 else 0.06
        if hour < 3 and day < 5:
            rate = 0.3  # the nightly report
        if chance.random() < rate * (0.25 if day >= 5 else 1.0):
            made += 1
            yield at


def _day(at: float) -> int:
    return int(at // DAY_S + 3) % 7  # 1 January 1970 was a Thursday


def _job(chance: random.Random, number: int) -> dict[str, object]:
    model = chance.choices(list(MODELS), [weight for _, weight in MODELS.values()])[0]
    user = chance.choices(list(USERS), list(USERS.values()))[0]
    kind = chance.choices(('chat', 'generate', 'embed'), (0.75, 0.15, 0.1))[0]
    priority = chance.choices((1, 5, 10, 15), (0.15, 0.65, 0.15, 0.05))[0]
    return {'job_id': f'{number:032x}', 'kind': kind, 'model': model, 'priority': priority, 'user': user}


def _run(chance: random.Random, model: object) -> tuple[facts.Usage, float]:
    speed = MODELS[str(model)][0] * chance.uniform(0.8, 1.1)
    output, prompt = int(chance.lognormvariate(6.5, 0.7)), int(chance.lognormvariate(6, 0.9))
    load_s = 9.0 if chance.random() < 0.04 else 0.0
    prompt_s, decode_s = prompt / 1500, output / speed
    first_s = load_s + prompt_s + 0.05
    usage = facts.Usage(
        prompt_tokens=prompt, output_tokens=output, load_s=load_s, prompt_s=prompt_s, decode_s=decode_s,
        first_token_s=first_s, total_s=first_s + decode_s, done_reason='stop',
    )  # fmt: skip
    return usage, first_s + decode_s


def _ended(  # noqa: PLR0917
    job: dict[str, object], queued_at: float, started_at: float, at: float, worker: str, usage: facts.Usage
) -> dict[str, object]:
    return {
        **job, 'conversation_id': '', 'queued_at': queued_at, 'started_at': started_at,
        'waited_s': (started_at or at) - queued_at, 'ran_s': at - started_at if started_at else 0.0,
        'epoch': 1 if started_at else 0, 'starts': 1 if started_at else 0, 'failures': 0, 'losses': 0,
        'worker': worker, 'engine': 'ollama' if worker else '', 'lines': usage.output_tokens, 'usage': usage,
    }  # fmt: skip
