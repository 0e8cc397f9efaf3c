"""What clients are told about the past, and about jobs that are not alive: read from the store, and nothing changed."""

import msgspec

from broker import intake, lookup, protocol
from broker.answers import Answers
from broker.job import FINAL, Job, State
from broker.store import Store

MAX_BATCHES = 100  # in one reply
MAX_FACTS = 10_000


class Replies:
    """Answers what neither the core knows nor takes long to find."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answers = Answers(store.answer)

    def forget(self, now: float) -> None:
        """Let go what was kept for the next page of an answer, when nobody has asked for it lately."""
        self._answers.forget(now)

    def to(self, request: protocol.AnyRequest, now: float) -> protocol.Reply:
        """What is stored about this, or why that is not to be had."""
        match request:
            case protocol.FactsAfter() | protocol.GetHistory():
                return self._facts(request)
            case protocol.FindJobs():
                limit = max(1, min(request.limit, protocol.SNAPSHOT_PAGE))
                matching = self._store.find(request, limit + 1)
                jobs = intake.that_fit(matching[:limit])
                return protocol.Jobs(rid=request.rid, jobs=jobs, more=len(matching) > len(jobs))
            case protocol.FindBatches():
                batches = self._store.find_batches(request.user, max(1, min(request.limit, MAX_BATCHES)))
                return protocol.Batches(rid=request.rid, batches=tuple(batches))
            case protocol.GetBatch() | protocol.CancelBatch():
                return self._about_batch(request)
            case protocol.GetExcerpts():
                return lookup.excerpts(request, self._store)
            case _:
                return self._about_job(request, self._store.job(getattr(request, 'job_id', '')), now)

    def _facts(self, request: protocol.FactsAfter | protocol.GetHistory) -> protocol.Reply:
        if isinstance(request, protocol.GetHistory):
            found = self._store.history(request.job_id)
        else:
            found = self._store.facts_after(request.seq, max(1, min(request.limit, MAX_FACTS)))
        return protocol.Facts(rid=request.rid, facts=tuple(found), head=self._store.last_seq())

    def _about_batch(self, request: protocol.GetBatch | protocol.CancelBatch) -> protocol.Reply:
        batch = self._store.batch(request.batch_id)
        if batch is None:
            return protocol.Refused(rid=request.rid, code='not_found', detail='there is no such batch')
        if isinstance(request, protocol.CancelBatch):  # it has ended
            return protocol.Done(rid=request.rid)
        return protocol.Batches(rid=request.rid, batches=(batch,))

    def _about_job(self, request: protocol.AnyRequest, job: Job | None, now: float) -> protocol.Reply:
        of_any = protocol.GetJob | protocol.GetBody | protocol.Replay
        if job is None or not (job.state in FINAL or isinstance(request, of_any)):  # it came right after the question
            return protocol.Refused(rid=request.rid, code='not_found', detail='there is no such job')
        match request:
            case protocol.Read():
                return msgspec.structs.replace(self._answers.page(request, job, now), rid=request.rid)
            case protocol.GetJob():
                return protocol.JobState(rid=request.rid, job=job)
            case protocol.GetBody():
                return protocol.Body(rid=request.rid, body=self._store.body(job.job_id))
            case protocol.Replay():
                return _not_again(request, job.state)
        return protocol.Refused(rid=request.rid, code='final', detail=f'the job is {job.state} and stays so')


def _not_again(request: protocol.Replay, state: State) -> protocol.Refused:
    """Why ``lookup.replayed`` made no new job of one in this state."""
    if state is State.DEAD:
        detail = 'a job that it comes after failed or is gone; do that one again first'
        return protocol.Refused(rid=request.rid, code='unknown_job', detail=detail)
    return protocol.Refused(rid=request.rid, code='not_dead', detail=f'the job is {state}, not dead')
