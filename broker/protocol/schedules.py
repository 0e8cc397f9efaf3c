"""Jobs that are made again and again."""

import msgspec

from broker.job import DEFAULT_PRIORITY
from broker.protocol.envelope import Count, Reply, Request


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is made again and again. ``cron`` has five fields, read in ``timezone`` (an IANA name)."""

    schedule_id: str
    name: str
    cron: str
    kind: str
    model: str
    body: bytes
    timezone: str = 'UTC'
    enabled: bool = True
    missed: str = 'skip'  # 'once': when ticks were missed, make one job for them when we are back
    path: str = ''
    priority: int = DEFAULT_PRIORITY
    user: str = ''
    max_failures: int = 3
    last_tick: float = 0.0  # the newest tick that was dealt with; kept by the broker


class SetSchedule(Request, frozen=True, kw_only=True):
    """Make a schedule, or replace the one of the same id."""

    schedule: Schedule


class RemoveSchedule(Request, frozen=True, kw_only=True):
    """No more jobs by this schedule."""

    schedule_id: str


class FindSchedules(Request, frozen=True, kw_only=True):
    """Schedules by id, at most ``limit`` behind ``after_id``, each with its next ``runs`` ticks."""

    after_id: str = ''
    limit: Count = 100
    runs: Count = 3


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule and when it makes its next jobs (unix seconds)."""

    schedule: Schedule
    next_runs: tuple[float, ...] = ()


class Schedules(Reply, frozen=True, kw_only=True):
    """Schedules that were found; ``more`` when others follow."""

    schedules: tuple[ScheduleInfo, ...]
    more: bool = False
