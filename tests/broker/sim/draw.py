"""The rules of one world, drawn by its seed: each seed has some of the limits, bounds and policies."""

import math
import random
from typing import NamedTuple

from broker.core import PULSE_S
from broker.fleet import Group
from broker.limits import Limits, Rate
from broker.order import Fairness
from broker.retention import GRACE_S, Keep
from broker.retry import RetryPolicy
from broker.rules import Rules

MODELS = ('a', 'b', 'c')
USERS = ('x', 'y', 'z')
RUNNERS = (b'{}', b'{}', b'{"options": {"num_ctx": 2048}}', b'{"options": {"num_ctx": 8192}}')
BIG = 'big'  # the label of the workers that a group may ask for


class Draw(NamedTuple):
    """What is peculiar to one world."""

    rules: Rules
    models: tuple[str, ...]
    jobs: int
    workers: int
    keep: Keep


def draw(chance: random.Random) -> Draw:
    """Rules that let all jobs of the world through within a few hundred seconds."""
    models = MODELS[: chance.randrange(1, 4)]
    jobs = chance.randrange(5, 45)
    rules = Rules(
        retry=RetryPolicy(base_s=1.0, max_s=10.0),
        fairness=Fairness(
            overdue_after_s=chance.choice((5.0, 20.0, 600.0)),
            overdue_every=chance.randrange(2, 5),
            affinity_wait_s=chance.choice((0.0, 3.0, 10.0)),
        ),
        limits=_limits(chance, models),
        max_losses=chance.randrange(2, 4),
        max_waiting=_maybe(chance, 0.2, chance.randrange(4, 20), 100_000),
        max_waiting_per_user=_maybe(chance, 0.2, chance.randrange(2, 8), 0),
        max_waiting_bytes=_maybe(chance, 0.2, chance.randrange(50, 400), 0),
        balance=chance.choice(('least_loaded', 'round_robin', 'weighted_random')),
        groups=(Group(models=('b*',), labels=(BIG,)),) if chance.random() < 0.3 else (),
        stop_at_once=chance.choice((1, 2, 200)),
        due_at_once=chance.choice((1, 3, 500)),
    )
    return Draw(rules, models, jobs, chance.randrange(2, 5), _keep(chance))


def _limits(chance: random.Random, models: tuple[str, ...]) -> Limits:
    return Limits(
        rate=_rate(chance, 1.0),
        user_rate=_rate(chance, 3.0),
        model_rates=tuple((model, rate) for model in models if (rate := _rate(chance, 2.0)) is not None),
        user_running=_maybe(chance, 0.25, chance.randrange(1, 3), 0),
        running=_maybe(chance, 0.25, chance.randrange(1, 5), 0),
    )


def _rate(chance: random.Random, longest_step_s: float) -> Rate | None:
    step_s, burst = chance.uniform(0.3, longest_step_s), chance.randrange(1, 6)
    starts = chance.randrange(1, 20)
    return Rate(starts, step_s * starts, burst) if chance.random() < 0.25 else None


def _keep(chance: random.Random) -> Keep:
    """What is old may go soon; what the broker still knows of by heart stays."""
    return Keep(
        completed_s=chance.choice((0.0, 90.0, math.inf)),
        cancelled_s=chance.choice((0.0, 90.0, math.inf)),
        dead_s=chance.choice((0.0, 90.0, math.inf)),
        facts_s=chance.choice((120.0, math.inf)),
        jobs=_maybe(chance, 0.3, chance.randrange(1, 10), 0),
        at_least_s=GRACE_S + 2 * PULSE_S,
    )


def _maybe(chance: random.Random, probability: float, this: int, otherwise: int) -> int:
    return this if chance.random() < probability else otherwise
