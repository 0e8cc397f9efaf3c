"""Shifts of mixed work in simulated machines: what waiting people are told, against what happens. All from a seed."""

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from broker import facts, protocol
from broker.actions import Action, Peer, Publish, SendJob
from broker.rules import Rules
from tests.broker.desk import Desk, job_id

SOON_S = 1.0  # what is told to start within this is shown as starting any moment


class Asked(NamedTuple):
    """A job of the shift: ``takes_s`` once its model is loaded."""

    at: float
    user: str
    model: str
    priority: int
    takes_s: float
    body: bytes = b'{}'


class Machine(NamedTuple):
    """A worker, and how long each of its models takes to load, seconds."""

    name: str
    slots: int
    loads_s: dict[str, float]


class Told(NamedTuple):
    """A start, what was told first about it, and for how much of its wait it was to start any moment."""

    at: float
    queued_at: float
    earliest_at: float
    latest_at: float
    soon_s: float
    user: str

    @property
    def held(self) -> bool:
        """Whether it started when it was told to."""
        return self.earliest_at <= self.at <= self.latest_at

    @property
    def waited_s(self) -> float:
        """From its arrival."""
        return self.at - self.queued_at

    @property
    def width_s(self) -> float:
        """Of the interval."""
        return self.latest_at - self.earliest_at


class Shift:
    """Plays jobs through a broker's core; ``told`` are the starts of those that had been told something."""

    def __init__(self, machines: Iterable[Machine], rules: Rules = Rules(lease_ttl_s=1e6)) -> None:  # noqa: B008
        self._desk = Desk(rules)
        self._desk.core.check = lambda: None  # type: ignore[method-assign]  # it looks at everything, every time
        self._machines = {machine.name: machine for machine in machines}
        self._loaded: dict[str, str] = {}
        self._ends: list[tuple[float, str, str, int, float]] = []
        self._asked: dict[str, Asked] = {}
        self._soon: dict[str, list[tuple[float, float]]] = {}  # when what was told: (at, latest_at)
        self._peers = {name: self._join(name) for name in self._machines}

    def play(self, jobs: Iterable[Asked]) -> list[Told]:
        """From the first arrival to the last end."""
        desk, number = self._desk, 0
        began_at, queue = desk.now, iter(jobs)
        following = next(queue, None)
        while following is not None or self._ends:
            next_job = began_at + following.at if following is not None else float('inf')
            next_end = self._ends[0][0] if self._ends else float('inf')
            self._wait(min(next_job, next_end))
            if next_end <= next_job:
                self._finish()
                continue
            assert following is not None
            number += 1
            self._asked[job_id(number)] = following
            desk.submit(
                number, user=following.user, model=following.model, priority=following.priority, body=following.body
            )
            self._take(desk.last)
            following = next(queue, None)
        assert number == sum(isinstance(fact, facts.JobStarted) for fact in desk.facts)
        return list(self._told())

    def _wait(self, until: float) -> None:
        """Second by second, to know when what was told."""
        while (left_s := until - self._desk.now) > 0.0:
            self._take(self._desk.wait(min(left_s, 1.0)))

    def _told(self) -> Iterator[Told]:
        for fact in self._desk.facts:
            if isinstance(fact, facts.JobStarted) and fact.predicted_until:
                soon_s = self._soon_s(fact.job_id, fact.at)
                user = self._asked[fact.job_id].user
                yield Told(fact.at, fact.at - fact.waited_s, fact.predicted_from, fact.predicted_until, soon_s, user)

    def _soon_s(self, job: str, started_at: float) -> float:
        """How long a page has said that it starts any moment."""
        told = self._soon.get(job, [])
        ends = [at for at, _ in told[1:]] + [started_at]
        return sum(max(0.0, end - max(at, latest_at - SOON_S)) for (at, latest_at), end in zip(told, ends, strict=True))

    def _join(self, name: str) -> Peer:
        machine = self._machines[name]
        infos = tuple(
            facts.ModelInfo(name=model, engine='sim', resident=self._loaded.get(name) == model)
            for model in machine.loads_s
        )
        return self._desk.join(name, machine.slots, models=infos)

    def _take(self, actions: Iterable[Action]) -> None:
        """Begin what was assigned in these actions, and hear what was told."""
        for action in actions:
            if isinstance(action, SendJob):
                name = next(name for name, peer in self._peers.items() if peer == action.peer)
                model, job = action.message.model, action.message.job_id
                load_s = 0.0 if self._loaded.get(name) == model else self._machines[name].loads_s[model]
                self._loaded[name] = model
                ends_at = self._desk.now + load_s + self._asked[job].takes_s
                heapq.heappush(self._ends, (ends_at, name, job, action.message.epoch, load_s))
            elif isinstance(action, Publish) and isinstance(action.message, protocol.Standing):
                for place in action.message.places:
                    if place.latest_at:
                        self._soon.setdefault(place.job_id, []).append((self._desk.now, place.latest_at))

    def _finish(self) -> None:
        """The next one ends."""
        _, name, job, epoch, load_s = heapq.heappop(self._ends)
        usage = facts.Usage(output_tokens=1, load_s=load_s)
        done = protocol.Finished(job_id=job, epoch=epoch, lines=0, usage=usage)
        self._take(self._desk.tell(self._peers[name], done))


def share(told: list[Told], found: Callable[[Told], bool]) -> float:
    """The part of them for which it is so."""
    return sum(map(found, told)) / len(told) if told else 0.0


# Shifts


def mixed(chance: random.Random, hours: float = 3.0) -> tuple[list[Machine], list[Asked]]:
    """Nine short jobs for each long one, and nobody can tell which is which: six users, four slots, 85 % busy."""
    machines = [Machine('gpu:1', 4, {'m': 0.0})]
    mean_s = 0.9 * 2.4 + 0.1 * 65.0
    jobs = []
    for at in _arrivals(chance, hours, mean_s / 4 / 0.85):
        long = chance.random() < 0.1
        takes_s = 60.0 * chance.lognormvariate(0.0, 0.4) if long else 2.0 * chance.lognormvariate(0.0, 0.6)
        jobs.append(Asked(at, f'u{chance.randrange(6)}', 'm', 5, takes_s))
    return machines, jobs


def marked(chance: random.Random, hours: float = 3.0) -> tuple[list[Machine], list[Asked]]:
    """The same lengths, but who looks can tell: one user's reports are long, and so is what has a large prompt."""
    machines, jobs = mixed(chance, hours)
    told = []
    for job in jobs:
        if job.takes_s < 20.0:
            body = b'{"options": {"num_predict": 64}}' if chance.random() < 0.3 else b'{}'
            told.append(job._replace(body=body))
        elif chance.random() < 0.5:
            told.append(job._replace(user='reports'))
        else:
            told.append(job._replace(body=b'{"prompt": "%s"}' % (b'x' * 30_000)))
    return machines, told


def shifting(chance: random.Random, hours: float = 3.0) -> tuple[list[Machine], list[Asked]]:
    """Short jobs for a while, then long ones, then short ones again: what was learnt is wrong for a while."""
    machines = [Machine('gpu:1', 2, {'m': 0.0})]
    jobs, at, period_s = [], 0.0, 1800.0
    while at < hours * 3600:
        long = (at // period_s) % 2 == 1
        mean_s = 45.0 if long else 2.0
        at += chance.expovariate(1.0) * mean_s / 2 / 0.9
        jobs.append(Asked(at, f'u{chance.randrange(6)}', 'm', 5, mean_s * chance.lognormvariate(-0.125, 0.5)))
    return machines, jobs


def levels(chance: random.Random, hours: float = 3.0) -> tuple[list[Machine], list[Asked]]:
    """As ``mixed``, and a fifth of the jobs is in more of a hurry and a fifth in less; now and then somebody's pile."""
    machines, jobs = mixed(chance, hours)
    told = []
    for job in jobs:
        told.append(job._replace(priority=chance.choices((10, 5, 1), (1, 3, 1))[0]))
        if chance.random() < 0.01:
            short = [2.0 * chance.lognormvariate(0.0, 0.4) for _ in range(chance.randrange(10, 30))]
            told += [Asked(job.at, 'piles', 'm', 1, takes_s) for takes_s in short]
    return machines, told


MODELS = {'small': (4.0, 0.5), 'middle': (12.0, 0.6), 'large': (40.0, 0.4)}  # median and spread of an answer, seconds
LOAD_S = {'small': 2.0, 'middle': 5.0, 'large': 12.0}
STAFF = {'pc:1': ('small', 'middle'), 'gpu:1': ('small', 'middle', 'large'), 'gpu:2': ('middle', 'large')}


def models(chance: random.Random, hours: float = 4.0) -> tuple[list[Machine], list[Asked]]:
    """Three models on three machines, chats one by one, and now and then somebody's pile."""
    machines = [Machine(name, 1, {model: LOAD_S[model] for model in own}) for name, own in STAFF.items()]
    jobs = []
    for at in _arrivals(chance, hours, 8.0):
        user, model = f'u{chance.randrange(12)}', chance.choices(list(MODELS), (5, 3, 1))[0]
        pile = chance.randrange(10, 30) if chance.random() < 0.01 else 1
        median_s, spread = MODELS[model]
        for _ in range(pile):
            jobs.append(Asked(at, user, model, 3 if pile > 1 else 5, median_s * chance.lognormvariate(0.0, spread)))
    return machines, jobs


def closed(chance: random.Random, hours: float = 1.0) -> tuple[list[Machine], list[Asked]]:
    """What somebody does who tries it out: some short jobs, then all slots are taken by long ones and some wait."""
    machines = [Machine('pc:1', 4, {'m': 0.0})]
    jobs, at = [], 0.0
    while at < hours * 3600:
        jobs += [Asked(at + n, 'me', 'm', 5, 0.5 + 2.0 * chance.random()) for n in range(12)]
        at += 40.0
        jobs += [Asked(at + n * 0.1, 'me', 'm', 5, 30.0 + 60.0 * chance.random()) for n in range(4)]
        jobs += [Asked(at + 3.0 + n * 0.5, 'me', 'm', 5, 0.5 + 2.0 * chance.random()) for n in range(6)]
        at += 160.0
    return machines, jobs


def first_batch(chance: random.Random) -> tuple[list[Machine], list[Asked]]:
    """What somebody does who has just started it: one question, and then a batch, before anything else is known."""
    machines, usual_s = [Machine('pc:1', 3, {'m': 0.0})], 8.0 * chance.lognormvariate(0.0, 1.0)
    ats = [0.0] + [300.0] * 40
    return machines, [Asked(at, 'me', 'm', 5, usual_s * chance.lognormvariate(0.0, 0.2)) for at in ats]


def _arrivals(chance: random.Random, hours: float, every_s: float) -> Iterator[float]:
    at = chance.expovariate(1 / every_s)
    while at < hours * 3600:
        yield at
        at += chance.expovariate(1 / every_s)


SHIFTS = {each.__name__: each for each in (mixed, marked, shifting, levels, models, closed)}
