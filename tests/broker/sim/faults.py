"""Planted faults: parts of the core that break one promise each, so that the checker can show that it looks.

Each class stands in place of the part it derives from; ``planted`` makes a core or a store with it.
"""

import math

import msgspec

from broker import facts, protocol
from broker.admission import NOTHING, Admission
from broker.core import BrokerCore
from broker.job import State
from broker.memory_store import MemoryStore
from broker.queue import Queue
from broker.staff import Staff


def planted(fault: type) -> dict[str, type]:
    """What a world is made with to have this part in place of the sound one."""
    (base,) = fault.__bases__
    if base is MemoryStore:
        return {'store': fault}
    if base is BrokerCore:
        return {'core': fault}
    return {'core': type(fault.__name__, (BrokerCore,), {f'make_{base.__name__.lower()}': fault})}


class NoFencing(Staff):
    """Takes what a worker says about a run of any epoch."""

    def run_of(self, worker, job_id, epoch):
        return self._queue.runs.get(job_id)


class LastComeFirstServed(Queue):
    """Serves the newest job of a user first."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        self.waiting.add = _standing(self.waiting.add, order=lambda job: -job.order, queued_at=lambda job: -job.order)


class BreaksTiesById(Queue):
    """Sorts what came in about the same moment by id instead of by arrival, and ids are not made in order."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        self.waiting.add = _standing(
            self.waiting.add,
            order=lambda job: int(job.job_id[-8:], 16) ^ 0b111,
            queued_at=lambda job: job.queued_at // 10.0 * 10.0,
        )


class IgnoresPriority(Queue):
    """Serves all levels alike."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        self.waiting.add = _standing(self.waiting.add, priority=lambda job: 5)
        self.waiting.remove = _standing(self.waiting.remove, priority=lambda job: 5)


class HeadOfTheLineBlocks(Queue):
    """A user who is over a limit keeps their place in front, and nobody passes them."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        best = self.waiting.best

        def first(can_run, now):
            turn = best(can_run, now)
            return None if turn is not None and self.gate.user_at(turn.user) > now else turn

        self.waiting.best = first

    def limit(self, user, now):
        super().limit(user, now)
        if not self.pauses.has('user', user):
            self.waiting.let_go(user)


class ForgetsWhoRuns(Queue):
    """After a restart the caps know nothing of what runs."""

    def restore(self, *rest, **more):
        super().restore(*rest, **more)
        gate = self.gate
        gate._running.clear()
        gate._total = 0
        ended = gate.ended
        gate.ended = lambda user, now: ended(user, now) if user in gate._running else None


class WakesTheDelayedEarly(BrokerCore):
    """A job that was to run later is due at once."""

    def tick(self, now, past=NOTHING):
        for job in list(self._queue.jobs.values()):
            if job.state is State.DELAYED:
                self._queue.due(job, now)
        return super().tick(now, past)


class TrustsTheIndex(Staff):
    """Appends whatever lines come, gaps and repetitions included."""

    def tokens(self, worker, run, message, now):
        super().tokens(worker, run, msgspec.structs.replace(message, index=len(run.lines)), now)


class PublishesFromTheStart(Queue):
    """Gives readers lines with the numbers of an earlier moment."""

    def do(self, action):
        message = getattr(action, 'message', None)
        if isinstance(message, protocol.TokensOut) and message.index == 3:
            action = action._replace(message=msgspec.structs.replace(message, index=2))
        super().do(action)


class CompletesTheCancelled(Queue):
    """Lets a result overrule a cancel."""

    def settle(self, run, move, end, usage, now):
        super().settle(run, move, facts.JobCompleted, usage, now)


class SpeaksForTheCancelled(Staff):
    """Passes on lines of a run that is being cancelled."""

    def tokens(self, worker, run, message, now):
        cancelling, run.cancelling = run.cancelling, False
        super().tokens(worker, run, message, now)
        run.cancelling = cancelling


class KeepsNoLeases(Staff):
    """Never takes a run from a silent worker."""

    def lease_due(self, job_id, now):
        pass

    def worker_due(self, name, now):
        pass


class IgnoresWhatWasUsed(Queue):
    """Charges nobody for anything."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        self.ledger.charge = lambda user, work_s, now: None


class PutsTheLostAtTheEnd(Queue):
    """A job whose worker was lost has to queue again."""

    def lose(self, run, now):
        self.order += 1
        run.job.order, run.job.queued_at = self.order, now
        super().lose(run, now)


class NeverOverdue(Queue):
    """Lets the old wait as long as there is something more urgent."""

    def __init__(self, rules, **more):
        super().__init__(rules._replace(fairness=rules.fairness._replace(overdue_after_s=math.inf)), **more)
        self.rules = rules


class AlwaysLoaded(Queue):
    """Jobs for what is loaded go first for ever."""

    def __init__(self, rules, **more):
        super().__init__(rules._replace(fairness=rules.fairness._replace(affinity_wait_s=math.inf)), **more)
        self.rules = rules


class ForgetsTheLimits(Queue):
    """After a restart rate limits begin anew."""

    def restore(self, jobs, now, work, starts, paused, **more):
        super().restore(jobs, now, work, (), paused, **more)


class LosesAPermit(Queue):
    """A job whose worker was lost counts as running for ever."""

    def lose(self, run, now):
        self.gate.holds(run.job.user)
        super().lose(run, now)


class OneSlotTooMany(Queue):
    """Gives each worker one job more than it has slots."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        fleet = self.fleet
        put = fleet.put
        fleet.put = lambda worker, peer, ready: put(worker, peer, msgspec.structs.replace(ready, slots=ready.slots + 1))


class OneMoreThanFits(Admission):
    """Lets one job more wait than may."""

    def _full(self, request, past):
        rules = self._queue.rules
        self._queue.rules = rules._replace(
            max_waiting=rules.max_waiting + 1,
            max_waiting_per_user=rules.max_waiting_per_user and rules.max_waiting_per_user + 1,
        )
        full = super()._full(request, past)
        self._queue.rules = rules
        return full


class KeepsTheEpoch(Queue):
    """Every start of a job has the same epoch."""

    def hold(self, job, *, session, now):
        job.epoch = 1
        return super().hold(job, session=session, now=now)


class TriesForEver(Staff):
    """Counts no failure."""

    def _failed(self, run, message, now):
        run.job.failures = 0
        super()._failed(run, message, now)


class TakesAnUnfinishedAnswer(Staff):
    """Believes a worker that is done, whatever lines are missing."""

    def serve_run(self, worker, message, now):
        if isinstance(message, protocol.Finished):
            message = msgspec.structs.replace(message, lines=0)
        super().serve_run(worker, message, now)


class StartsWhatRunsAlready(Queue):
    """After a restart every running job is started again at once."""

    def restore(self, jobs, *rest, **more):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.RUNNING:
                job.state = State.WAITING
        super().restore(jobs, *rest, **more)


class SkipsANumber(Queue):
    """Now and then a fact gets a number too high."""

    def next_seq(self):
        seq = super().next_seq()
        self.seq += seq == 40
        return self.seq


class ForgetsTheCancel(Queue):
    """After a restart a job that was being cancelled just runs on."""

    def restore(self, jobs, *rest, **more):
        jobs = list(jobs)
        for job in jobs:
            if job.state is State.CANCELLING:
                job.state = State.RUNNING
        super().restore(jobs, *rest, **more)


class ForgetsThePauses(Queue):
    """After a restart nothing is paused."""

    def restore(self, jobs, now, work, starts, paused, **more):
        super().restore(jobs, now, work, starts, (), **more)


class StartsThePaused(Queue):
    """A paused model is started all the same."""

    def __init__(self, rules, **more):
        super().__init__(rules, **more)
        has = self.pauses.has
        self.pauses.has = lambda scope, name: scope != 'model' and has(scope, name)


class StartsTheBlocked(Queue):
    """Does not wait for what a job comes after."""

    def accept(self, job, request, now, *, missing=(), schedule=None):
        if job.state is State.BLOCKED:
            job.state = State.WAITING
        super().accept(job, request, now, schedule=schedule)


class LeavesTheFollowersBehind(Queue):
    """Takes nobody along when a job fails."""

    def doom(self, job, *rest):
        """Nothing."""


class TakesEveryKey(Admission):
    """Makes a new job for a key that has one."""

    def _same(self, request, *rest):
        return None


class ForgetsTheKeyAtTheEnd(Admission):
    """Knows a key only as long as its job is alive."""

    def _same(self, request, request_print, past, now):
        known = self._queue.keys.by_key(request.user, request.idempotency_key)
        if known is not None and known.job_id not in self._queue.jobs:
            self._queue.keys.forget(known.job_id)
        return super()._same(request, request_print, past._replace(keys={}), now)


class ForgetsTheBatches(Queue):
    """After a restart a batch that goes on is no longer known."""

    def restore(self, jobs, *rest, open_batches):
        super().restore(jobs, *rest, open_batches=())


class CountsABatchWrong(Queue):
    """A batch ends with one dead job too few."""

    def record(self, fact, *rest, **more):
        if isinstance(fact, facts.BatchEnded) and fact.dead:
            fact = msgspec.structs.replace(fact, dead=fact.dead - 1, completed=fact.completed + 1)
        super().record(fact, *rest, **more)


class RunsATickTwice(Admission):
    """A schedule makes two jobs of a tick."""

    def admit(self, request, past, now, schedule=None):
        reply = super().admit(request, past, now, schedule)
        if schedule is not None and isinstance(reply, protocol.Accepted):
            twin = msgspec.structs.replace(request, job_id=f'{request.job_id[:-1]}{int(request.job_id[-1], 16) ^ 1:x}')
            super().admit(twin, past, now, schedule)
        return reply


class StartsAfterTheDeadline(Queue):
    """Deadlines are not looked at."""

    def accept(self, job, *rest, **more):
        super().accept(job, *rest, **more)
        job.deadline_at = 0.0


class TakesJobsWithoutRoom(Admission):
    """Does not look how much room the disk has."""

    def _full(self, request, past):
        return super()._full(request, past._replace(disk_full=False))


class PrunesWhatOthersNeed(MemoryStore):
    """Lets jobs go although others, which come after them, want their answers."""

    def _prune_jobs(self, portion):
        kept = {name: job.terms for name, job in self._jobs.items()}
        for job in self._jobs.values():
            job.terms = msgspec.structs.replace(job.terms, after=())
        pruned = super()._prune_jobs(portion)
        for name, job in self._jobs.items():
            job.terms = kept[name]
        return pruned


class PrunesTooEarly(MemoryStore):
    """Lets jobs go a while before it may."""

    def prune(self, portion):
        return super().prune(portion._replace(before=portion.before + 20.0) if hasattr(portion, 'before') else portion)


class PurgesTheNewestToo(MemoryStore):
    """Deletes every dead job, whenever it ended."""

    def purge(self, job_id, before, limit=1_000_000):
        return super().purge(job_id, math.inf, limit)


class ForgetsThePurgedOfABatch(MemoryStore):
    """A batch that goes on no longer counts the dead jobs that were deleted."""

    def _counted(self, batch):
        return super()._counted(msgspec.structs.replace(batch, dead=0) if not batch.ended_at else batch)


class KeepsTheKeysOfThePurged(BrokerCore):
    """Takes a request under the key of a deleted job for that job."""

    def purged(self, job_id, before):
        """Nothing."""


class DoesItAgainLessUrgently(Admission):
    """A dead job that is done again has another priority."""

    def submit(self, request, past, now):
        urgency = {'priority': 0} if request.replay_of else {}
        return super().submit(msgspec.structs.replace(request, **urgency), past, now)


FAULTS = [part for part in list(globals().values()) if isinstance(part, type) and part.__module__ == __name__]


def _standing(add, **fields):
    """``add``, called with a job that has other fields just then."""

    def changed(job):
        kept = {name: getattr(job, name) for name in fields}
        for name, field in fields.items():
            setattr(job, name, field(job))
        add(job)
        for name, value in kept.items():
            setattr(job, name, value)

    return changed
