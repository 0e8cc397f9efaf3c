"""Schedules at work: clients set them, ticks turn them into jobs."""

from collections.abc import Iterable

from broker import facts, intake, protocol, schedules
from broker.admission import Admission, Past
from broker.queue import Queue

MAX_SCHEDULES = 100_000
MAX_BYTES = 64 * 1024 * 1024  # of the templates of all schedules: they are kept in memory
MAX_ID, MAX_NAME = 100, 300  # characters
MAX_PAGE, MAX_RUNS = 500, 20
MISSED = ('skip', 'once')


class Agenda:
    """Makes the jobs that are due by the wall clock. That one may jump; ``now`` does not."""

    def __init__(self, queue: Queue, admission: Admission) -> None:
        self._queue = queue
        self._admission = admission
        self._schedules = schedules.Schedules()
        self._wall = 0.0
        self.wall_ahead_s = 0.0  # of ``now``: whoever has a wall clock keeps this true

    def restore(self, kept: Iterable[protocol.Schedule], now: float) -> None:
        """Take over what an earlier broker left."""
        self._schedules.restore(kept, now + self.wall_ahead_s)

    def next_at(self) -> float:
        """When the next tick is, in terms of ``now``."""
        return self._schedules.next_at() - self.wall_ahead_s

    def due_ids(self, now: float) -> list[str]:
        """The ids of the jobs that ``run`` would make now."""
        return self._schedules.due_ids(now + self.wall_ahead_s)

    def run(self, past: Past, now: float) -> None:
        """Make what is due."""
        wall = now + self.wall_ahead_s
        if wall < self._wall - schedules.PUT_BACK_S:
            self._schedules.follow(wall)
        self._wall = wall
        for due in self._schedules.due(wall):
            if due.missed:
                self._skipped(due.schedule, due.missed, 'missed', now)
            if due.runs:
                reply = self._admission.admit(_submit(due.schedule, due.tick), past, now, due.schedule)
                if isinstance(reply, protocol.Refused):
                    self._skipped(due.schedule, 1, reply.code, now)
                elif reply.duplicate:
                    self._skipped(due.schedule, 1, 'repeated', now)

    def set(self, schedule: protocol.Schedule, now: float) -> protocol.Reply:
        """Make or replace a schedule."""
        if problem := _problem_with(schedule):
            return protocol.Refused(code='bad_request', detail=problem)
        known, queue = self._schedules, self._queue
        if len(known) >= MAX_SCHEDULES and schedule.schedule_id not in known:
            return protocol.Refused(code='too_many', detail=f'there are {MAX_SCHEDULES} schedules; remove some first')
        if known.bytes_with(schedule) > MAX_BYTES:
            detail = f'the bodies of all schedules may have {MAX_BYTES} bytes together; make some smaller'
            return protocol.Refused(code='too_many', detail=detail)
        kept = known.set(schedule, now + self.wall_ahead_s)
        fact = facts.ScheduleSet(
            seq=queue.next_seq(),
            at=now,
            schedule_id=kept.schedule_id,
            name=kept.name,
            cron=kept.cron,
            timezone=kept.timezone,
            enabled=kept.enabled,
        )
        queue.record(fact, schedule=kept)
        return protocol.Done()

    def remove(self, schedule_id: str, now: float) -> protocol.Reply:
        """No more jobs by this schedule; those it has made go on."""
        if schedule_id not in self._schedules:
            return protocol.Refused(code='not_found', detail='there is no such schedule')
        self._schedules.remove(schedule_id)
        self._queue.record(facts.ScheduleRemoved(seq=self._queue.next_seq(), at=now, schedule_id=schedule_id))
        return protocol.Done()

    def find(self, request: protocol.FindSchedules, now: float) -> protocol.Reply:
        """A page of schedules."""
        limit, runs = max(1, min(request.limit, MAX_PAGE)), min(request.runs, MAX_RUNS)
        return self._schedules.page(request.after_id, limit, runs, now + self.wall_ahead_s)

    def _skipped(self, schedule: protocol.Schedule, ticks: int, reason: str, now: float) -> None:
        fact = facts.ScheduleSkipped(
            seq=self._queue.next_seq(), at=now, schedule_id=schedule.schedule_id, ticks=ticks, reason=reason
        )
        self._queue.record(fact, schedule=schedule)


def _submit(schedule: protocol.Schedule, tick: float) -> protocol.Submit:
    return protocol.Submit(
        job_id=schedules.job_id_of(schedule.schedule_id, tick),
        kind=schedule.kind,
        model=schedule.model,
        body=schedule.body,
        path=schedule.path,
        priority=schedule.priority,
        user=schedule.user,
        max_failures=schedule.max_failures,
        schedule=schedule.schedule_id,
    )


def _problem_with(schedule: protocol.Schedule) -> str:
    rules = (
        (
            1 <= len(schedule.schedule_id) <= MAX_ID and schedule.schedule_id.isprintable(),
            f'schedule_id must be 1 to {MAX_ID} characters that can be printed',
        ),
        (len(schedule.name) <= MAX_NAME, f'name may have {MAX_NAME} characters'),
        (schedule.missed in MISSED, f'missed must be one of {", ".join(MISSED)}'),
    )
    return (
        next((text for sound, text in rules if not sound), '')
        or schedules.problem_with(schedule.cron, schedule.timezone)
        or intake.problem_with(_submit(schedule, 0.0))
    )
