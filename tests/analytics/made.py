"""Facts for tests: short to write, complete on the wire."""

import asyncio
from collections.abc import Sequence

import msgspec

from broker import facts

T0 = 1_800_000_000.0  # a round minute


class Page(msgspec.Struct, frozen=True):
    """What the queue answers to a question for facts."""

    facts: Sequence[facts.AnyFact]
    head: int


class Queue:
    """A queue that remembers all facts, as the broker does."""

    def __init__(self, known: Sequence[facts.AnyFact] = (), *, limit: int = 1000) -> None:
        self.facts = list(known)
        self.limit = limit
        self.asked: list[int] = []
        self.forgotten = 0  # facts up to this seq are kept no longer
        self.silent = False
        self.hangs = False
        self.was_asked = asyncio.Event()
        self.was_asked_thrice = asyncio.Event()

    async def facts_after(self, seq: int) -> Page:
        """As ``BrokerClient.facts_after`` does."""
        self.asked.append(seq)
        self.was_asked.set()
        if len(self.asked) >= 3:
            self.was_asked_thrice.set()
        if self.hangs:
            await asyncio.Event().wait()
        if self.silent:
            raise TimeoutError('no answer')
        seq = max(seq, self.forgotten)
        return Page(self.facts[seq : seq + self.limit], len(self.facts))


def queued(seq: int, at: float = T0, job_id: str = 'a', **fields: object) -> facts.JobQueued:
    """A job was accepted."""
    return _made(facts.JobQueued, seq, at, {'job_id': job_id, 'kind': 'chat', 'model': 'm', 'priority': 5}, fields)


def started(seq: int, at: float = T0, job_id: str = 'a', **fields: object) -> facts.JobStarted:
    """A worker got it."""
    defaults = {'job_id': job_id, 'epoch': 1, 'worker': 'w:1', 'starts': 1, 'waited_s': 0.5}
    return _made(facts.JobStarted, seq, at, defaults, fields)


def completed(seq: int, at: float = T0, job_id: str = 'a', **fields: object) -> facts.JobCompleted:
    """It ended well."""
    return _made(facts.JobCompleted, seq, at, _ended(at, job_id), fields)


def died(seq: int, at: float = T0, job_id: str = 'a', **fields: object) -> facts.JobDied:
    """It failed for good."""
    return _made(facts.JobDied, seq, at, _ended(at, job_id) | {'code': 'boom', 'detail': 'It broke.'}, fields)


def cancelled(seq: int, at: float = T0, job_id: str = 'a', **fields: object) -> facts.JobCancelled:
    """Somebody stopped it."""
    return _made(facts.JobCancelled, seq, at, _ended(at, job_id), fields)


def life(jobs: int, first_seq: int = 1) -> list[facts.AnyFact]:
    """Three facts for each job: queued, started, and one of the three ends."""
    story: list[facts.AnyFact] = []
    for n in range(jobs):
        seq, at, job_id = first_seq + 3 * n, T0 + n, f'{n:032x}'
        end = (completed, completed, died, cancelled)[n % 4]
        story += [queued(seq, at, job_id), started(seq + 1, at + 1, job_id), end(seq + 2, at + 3, job_id)]
    return story


def one_of_each() -> list[facts.AnyFact]:
    """Every kind of fact there is, once."""
    model = facts.ModelInfo(name='m', engine='demo')
    engine = {'engine': 'demo', 'engine_version': '1', 'slots': 2, 'models': (model, model), 'labels': ('l',)}
    return [
        facts.WorkerJoined(seq=1, at=T0, worker='w', session='s', host='h', pid=7, **engine),
        facts.WorkerChanged(seq=2, at=T0, worker='w', **engine, problem='unreachable'),
        queued(3),
        facts.JobPriorityChanged(seq=4, at=T0, job_id='a', priority=9, was=5),
        started(5),
        facts.JobRequeued(seq=6, at=T0, job_id='a', epoch=1, reason='retry', due_at=T0, failures=1, losses=0),
        facts.JobDue(seq=7, at=T0, job_id='a'),
        facts.JobCancelRequested(seq=8, at=T0, job_id='a', epoch=2),
        cancelled(9),
        died(10),
        completed(11),
        facts.WorkerLeft(seq=12, at=T0, worker='w', reason='drained'),
        facts.Paused(seq=13, at=T0, scope='model', name='m'),
        facts.Resumed(seq=14, at=T0, scope='model', name='m'),
        facts.JobUnblocked(seq=15, at=T0, job_id='a'),
        facts.JobShared(seq=16, at=T0, job_id='a', claims=2),
        facts.Drained(seq=17, at=T0, scope='all', name=''),
        facts.BatchOpened(seq=18, at=T0, batch_id='b', name='n', user='u', total=2),
        facts.BatchEnded(seq=19, at=T0, batch_id='b', completed=1, dead=1, cancelled=0),
        facts.ScheduleSet(seq=20, at=T0, schedule_id='s', name='n', cron='* * * * *', timezone='UTC', enabled=True),
        facts.ScheduleSkipped(seq=21, at=T0, schedule_id='s', ticks=1, reason='missed'),
        facts.ScheduleRemoved(seq=22, at=T0, schedule_id='s'),
        facts.WorkerRetired(seq=23, at=T0, worker='w', session='s', grace_s=300.0),
    ]


def _ended(at: float, job_id: str) -> dict[str, object]:
    return {
        'job_id': job_id, 'kind': 'chat', 'model': 'm', 'priority': 5, 'user': '', 'conversation_id': '',
        'queued_at': at - 3, 'started_at': at - 2, 'waited_s': 1.0, 'ran_s': 2.0, 'epoch': 1, 'starts': 1,
        'failures': 0, 'losses': 0, 'worker': 'w:1', 'engine': 'demo', 'lines': 10,
        'usage': facts.Usage(output_tokens=20, decode_s=2.0, first_token_s=0.25),
    }  # fmt: skip


def _made(kind, seq, at, defaults, fields):
    return kind(seq=seq, at=at, **(defaults | fields))
