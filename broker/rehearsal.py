"""What another order would have done: recorded jobs, played once more through the queue's own scheduling code.

The clock, the engines and the jobs' lengths are simulated; who goes next, and where, is decided by ``Queue`` and
``Dispatch``, the same that run every day. Nothing is left to chance: the same record always gives the same answer.
Jobs arrive when they did, whatever became of those before them; a worker runs the models that it ran then.
"""

import heapq
import math
import statistics
import sys
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from broker import facts, protocol, settings
from broker.actions import Peer, SendJob
from broker.dispatch import Dispatch
from broker.errands import Errands
from broker.job import Job, Move
from broker.queue import Queue
from broker.rules import Rules
from broker.share import Ledger
from broker.staff import Staff

Policy = Literal['fifo', 'priority', 'fair', 'affinity']
POLICIES: tuple[Policy, ...] = ('fifo', 'priority', 'fair', 'affinity')  # each adds something to the one before
LOADING_S = 0.5  # an engine that says less had the model in memory
FOR_EVER_S = 1e12
ROUNDING_S = 0.001  # the next job starts in the moment in which one ends, as exactly as sums of times are
TELL_EVERY = 1_000  # jobs
EVERYBODY = 5  # the priority of all where levels do not count


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A job that ran: ``ready_at`` in unix seconds is when it began to wait, ``ran_s`` the run with its ``load_s``."""

    ready_at: float
    waited_s: float
    ran_s: float
    load_s: float
    model: str
    runner: str
    worker: str
    user: str
    priority: int


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What ``python -m broker.rehearsal`` reads: the jobs, what to try, and the rest as in ``rehearse``.

    ``settings`` are the broker's, as ``protocol.Settings.values`` tells them; empty is as they are without any.
    """

    jobs: tuple[Recorded, ...]
    policies: tuple[Policy, ...] = POLICIES
    settings: bytes = b''
    slots: dict[str, int] = {}
    resident: int = 1


class News(msgspec.Struct, frozen=True, kw_only=True):
    """A line of what it writes: how many jobs are done in all, and what came of a policy when that is known."""

    done: int
    outcome: 'Outcome | None' = None


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long some jobs waited, seconds."""

    jobs: int
    mean_s: float
    p50_s: float
    p95_s: float
    longest_s: float


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order; ``policy`` is 'recorded' for what really happened, ``busy`` a share of the slots' time."""

    policy: str
    waits: Waits
    by_user: dict[str, Waits]
    by_level: dict[str, Waits]
    loads: int
    busy: float
    span_s: float


def level_of(priority: int) -> str:
    """The name of a priority's level, as pages and commands show it."""
    return 'low' if priority < 4 else 'normal' if priority < 8 else 'high' if priority < 13 else 'realtime'


def recorded(jobs: Sequence[Recorded]) -> Outcome:
    """What really happened."""
    slots = sum(slots_of(jobs).values())
    ends = [job.ready_at + job.waited_s + job.ran_s for job in jobs]
    return _outcome(
        'recorded',
        jobs,
        [job.waited_s for job in jobs],
        loads=sum(job.load_s >= LOADING_S for job in jobs),
        busy_s=sum(job.ran_s for job in jobs),
        slots=slots,
        end_at=max(ends, default=0.0),
    )


def rehearse(
    jobs: Iterable[Recorded],
    policy: Policy,
    rules: Rules | None = None,
    *,
    slots: Mapping[str, int] | None = None,
    resident: int = 1,
    progress: Callable[[int], object] = lambda done: None,
) -> Outcome:
    """Play ``jobs`` through the queue under ``policy`` and the rest of ``rules``.

    ``slots`` are those of a worker (otherwise as many as ran there at once), ``resident`` how many models an engine
    keeps in memory. ``progress`` hears how many jobs have ended. The limits are those of ``rules``, under each policy;
    pauses and outages of then are not played again.

    Raises:
        ValueError: There is no such policy.
    """
    if policy not in POLICIES:
        raise ValueError(f'there is no policy {policy}; the policies are: {", ".join(POLICIES)}')
    return _Stage(sorted(jobs, key=lambda job: job.ready_at), policy, rules or Rules(), slots, resident).play(progress)


def slots_of(jobs: Iterable[Recorded]) -> dict[str, int]:
    """How many jobs ran on each worker at once, at the most."""
    steps: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for job in jobs:
        started_at = job.ready_at + job.waited_s
        ended_at = started_at + max(0.0, job.ran_s - ROUNDING_S)
        steps[job.worker] += [(started_at, 1), (ended_at, -1)]
    found = {}
    for worker, moments in steps.items():
        running = most = 0
        for _, step in sorted(moments):
            running += step
            most = max(most, running)
        found[worker] = max(1, most)
    return found


class _Stage:
    """The queue with simulated engines around it."""

    def __init__(
        self, jobs: list[Recorded], policy: Policy, rules: Rules, slots: Mapping[str, int] | None, resident: int
    ) -> None:
        self._jobs = jobs
        self._policy = policy
        self._levels, self._users = policy != 'fifo', policy in ('fair', 'affinity')
        wait_s = rules.fairness.affinity_wait_s if policy == 'affinity' else 0.0
        rules = rules._replace(
            fairness=rules.fairness._replace(affinity_wait_s=wait_s),
            lease_ttl_s=FOR_EVER_S,  # nobody renews them here
            groups=(),  # a worker runs what it ran
        )
        self._queue = Queue(rules, last_seq=0, last_order=0)
        if not self._users:
            self._queue.ledger = self._queue.waiting.ledger = _Nobodys()
        self._dispatch = Dispatch(self._queue)
        self._loading_s = _loading_times(jobs, resident)
        self._slots = slots_of(jobs) | {name: most for name, most in (slots or {}).items() if most > 0}
        self._engines = {name: _Engine(resident) for name in self._slots}
        self._waited: list[float] = [0.0] * len(jobs)
        self._ends: list[tuple[float, int]] = []  # (when, number of the job)
        self._busy_s = 0.0

    def play(self, progress: Callable[[int], object]) -> Outcome:
        """From the first arrival to the last end."""
        self._sign_in(self._jobs[0].ready_at if self._jobs else 0.0)
        arrived = ended = 0
        now = 0.0
        while ended < len(self._jobs):
            next_at = self._jobs[arrived].ready_at if arrived < len(self._jobs) else math.inf
            end_at = self._ends[0][0] if self._ends else math.inf
            if self._queue.timers.first() < min(end_at, next_at):
                now = self._queue.timers.first()
                self._wake(now)
            elif end_at <= next_at:
                now, number = heapq.heappop(self._ends)
                self._end(number, now)
                ended += 1
                if ended % TELL_EVERY == 0:
                    progress(ended)
            else:
                now = next_at
                self._arrive(arrived, now)
                arrived += 1
            self._queue.forget_ended(now)
            self._dispatch.run(now)
            for action in self._queue.take():
                if isinstance(action, SendJob):
                    self._begin(int(action.message.job_id, 16), now)
        progress(ended)
        loads = sum(engine.loads for engine in self._engines.values())
        return _outcome(
            self._policy,
            self._jobs,
            self._waited,
            loads=loads,
            busy_s=self._busy_s,
            slots=sum(self._slots.values()),
            end_at=now,
        )

    def _sign_in(self, now: float) -> None:
        """The workers, with the models that each ran."""
        staff = Staff(self._queue, 'rehearsal', Errands(self._queue))
        models: dict[str, set[str]] = defaultdict(set)
        for job in self._jobs:
            models[job.worker].add(job.model)
        for name, slots in self._slots.items():
            ready = protocol.Ready(
                worker=name,
                session='rehearsal',
                host='',
                pid=0,
                engine='',
                engine_version='',
                slots=slots,
                models=tuple(facts.ModelInfo(name=model, engine='') for model in sorted(models[name])),
            )
            staff.serve(Peer('worker', name.encode()), ready, now)
        self._queue.take()

    def _arrive(self, number: int, now: float) -> None:
        recorded, queue = self._jobs[number], self._queue
        queue.order += 1
        job = Job(
            job_id=f'{number:032x}',
            order=queue.order,
            kind='chat',
            model=recorded.model,
            priority=recorded.priority if self._levels else EVERYBODY,
            queued_at=now,
            user=recorded.user,
            runner=recorded.runner or recorded.model,
        )
        request = protocol.Submit(job_id=job.job_id, kind='chat', model=job.model, body=b'{}')
        queue.accept(job, request, now)

    def _wake(self, now: float) -> None:
        """A limit lets somebody start again."""
        for kind, name in self._queue.timers.due(now):
            if kind == 'user':
                self._queue.limit(name, now)

    def _begin(self, number: int, now: float) -> None:
        """A worker got it."""
        recorded, job = self._jobs[number], self._queue.jobs[f'{number:032x}']
        self._waited[number] = now - recorded.ready_at
        own_s = recorded.ran_s - (recorded.load_s if recorded.load_s >= LOADING_S else 0.0)
        loading_s = self._loading_s.get(recorded.model, 0.0)
        ends_at = self._engines[job.worker].run(job.runner, max(0.0, own_s), loading_s, now)
        self._busy_s += ends_at - now
        heapq.heappush(self._ends, (ends_at, number))

    def _end(self, number: int, now: float) -> None:
        run = self._queue.runs[f'{number:032x}']
        self._queue.settle(run, Move.COMPLETE, facts.JobCompleted, facts.Usage(), now)


class _Nobodys(Ledger):
    """Counts nothing, so that all users are alike: theirs who came first goes first."""

    def charge(self, user: str, work_s: float, now: float) -> None:
        """Nothing is added."""


class _Engine:
    """What one engine has in memory, and until when it uses it."""

    def __init__(self, resident: int) -> None:
        self._most = resident
        self._loaded: OrderedDict[str, float] = OrderedDict()  # until when it is busy, the last used one at the end
        self.loads = 0

    def run(self, runner: str, own_s: float, loading_s: float, now: float) -> float:
        """Take a job; when it ends. What is not in memory takes the place of what is free first."""
        begins_at = now
        if runner not in self._loaded:
            if len(self._loaded) >= self._most:
                leaving = min(self._loaded, key=lambda name: max(self._loaded[name], now))
                begins_at = max(now, self._loaded.pop(leaving))
            begins_at += loading_s
            self.loads += 1
        ends_at = begins_at + own_s
        self._loaded[runner] = max(self._loaded.get(runner, 0.0), ends_at)
        self._loaded.move_to_end(runner)
        return ends_at


def _loading_times(jobs: Iterable[Recorded], resident: int) -> dict[str, float]:
    """What loading each model took, in the middle, without the time in which the engine waited for room in memory:
    it counts that as loading, and here it is found anew.
    """
    seen: dict[str, list[float]] = defaultdict(list)
    in_use: dict[str, dict[str, float]] = defaultdict(dict)  # by worker: until when each runner there is
    for job in sorted(jobs, key=lambda job: job.ready_at + job.waited_s):
        started_at, runner = job.ready_at + job.waited_s, job.runner or job.model
        there = in_use[job.worker]
        if job.load_s >= LOADING_S:
            ends = sorted(end for other, end in there.items() if other != runner and end > started_at)
            room_s = ends[-resident] - started_at if len(ends) >= resident else 0.0
            waited_s = room_s if room_s < job.load_s else 0.0  # otherwise there was room
            seen[job.model].append(max(LOADING_S, job.load_s - waited_s))
        there[runner] = max(there.get(runner, 0.0), started_at + job.ran_s)
    return {model: statistics.median(times) for model, times in seen.items()}


def _outcome(
    policy: str,
    jobs: Sequence[Recorded],
    waited: Sequence[float],
    *,
    loads: int,
    busy_s: float,
    slots: int,
    end_at: float,
) -> Outcome:
    by_user: dict[str, list[float]] = defaultdict(list)
    by_level: dict[str, list[float]] = defaultdict(list)
    for job, waited_s in zip(jobs, waited, strict=True):
        by_user[job.user].append(waited_s)
        by_level[level_of(job.priority)].append(waited_s)
    span_s = end_at - min((job.ready_at for job in jobs), default=end_at)
    most = Counter({user: len(times) for user, times in by_user.items()}).most_common()
    return Outcome(
        policy=policy,
        waits=_waits(list(waited)),
        by_user={user: _waits(by_user[user]) for user, _ in most},
        by_level={name: _waits(by_level[name]) for name in ('realtime', 'high', 'normal', 'low') if name in by_level},
        loads=loads,
        busy=busy_s / (slots * span_s) if slots and span_s > 0 else 0.0,
        span_s=span_s,
    )


def _waits(times: list[float]) -> Waits:
    times.sort()
    if not times:
        return Waits(jobs=0, mean_s=0.0, p50_s=0.0, p95_s=0.0, longest_s=0.0)
    return Waits(
        jobs=len(times),
        mean_s=statistics.fmean(times),
        p50_s=_rank(times, 0.5),
        p95_s=_rank(times, 0.95),
        longest_s=times[-1],
    )


def _rank(times: list[float], share: float) -> float:
    return times[max(0, math.ceil(share * len(times)) - 1)]


def main() -> None:
    """A process of its own, for a caller with other things to do: a ``Wish`` on stdin, ``News`` as JSON lines."""
    wish = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Wish)
    rules = settings.rules_of(wish.settings) if wish.settings else Rules()
    done = 0

    def say(played: int, outcome: Outcome | None = None) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(News(done=done + played, outcome=outcome)) + b'\n')
        sys.stdout.buffer.flush()

    say(0, recorded(wish.jobs))
    for policy in wish.policies:
        outcome = rehearse(wish.jobs, policy, rules, slots=wish.slots, resident=wish.resident, progress=say)
        done += len(wish.jobs)
        say(0, outcome)


if __name__ == '__main__':
    main()
