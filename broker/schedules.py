"""Jobs that come again and again: which tick of which schedule is due, by the wall clock. No job is made here.

Cron lines are read by cronsim, which follows Debian's cron where clocks are put forward or back: what is set for a
fixed time runs once on either day, and what runs every so often keeps its beat.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from broker import keys, protocol
from broker.heap import PriorityHeap

LATE_S = 30.0  # a tick that is dealt with this much later is not missed: so long may a restart take
PUT_BACK_S = 3 * 3600.0  # a clock put back further than this was wrong before: schedules follow it back
COUNTED = 100  # of a long time away so many ticks are counted, not the half million of a year
AT_ONCE, TICKS_AT_ONCE = 100, 1_000  # schedules, and their ticks, in one go: ten thousand due together hold up nobody
MAX_CRON = 200  # characters
job_id_of = keys.tick_id
_FIELDS = ('minute', 'hour', 'day-of-month', 'month', 'day-of-week')
_TAKES = {
    'minute': '0-59',
    'hour': '0-23',
    'day-of-month': '1-31, L (last day) or LW (last weekday)',
    'month': '1-12 or JAN-DEC',
    'day-of-week': '0-7 or SUN-SAT, 5L (the last Friday) or 1#2 (the second Monday)',
}


class Due(NamedTuple):
    """What has to be done about one schedule: a job for ``tick`` when it ``runs``, and so many ticks were missed."""

    schedule: protocol.Schedule  # with ``last_tick`` moved on to ``tick``
    tick: float
    runs: bool
    missed: int


class Schedules:
    """All schedules; those that are enabled in a heap by their next tick. Times are unix seconds of the wall clock."""

    def __init__(self) -> None:
        self._schedules: dict[str, protocol.Schedule] = {}
        self._heap: PriorityHeap[float] = PriorityHeap()
        self._bytes = 0
        self._looked: list[Due] = []
        self._looked_at = math.nan  # the moment for which that was worked out; nothing has changed since

    def __len__(self) -> int:
        return len(self._schedules)

    def __contains__(self, schedule_id: str) -> bool:
        return schedule_id in self._schedules

    def bytes_with(self, schedule: protocol.Schedule) -> int:
        """How much the templates of all would take with this one, in place of the one of the same id."""
        was = self._schedules.get(schedule.schedule_id)
        return self._bytes + len(schedule.body) - (len(was.body) if was is not None else 0)

    def restore(self, schedules: Iterable[protocol.Schedule], wall: float) -> None:
        """Take over what an earlier broker left. A clock that was put back far takes its schedules with it."""
        for schedule in schedules:
            self._put(_sane(schedule, wall))

    def set(self, schedule: protocol.Schedule, wall: float) -> protocol.Schedule:
        """Keep a schedule that is new or changed; as kept. No tick that passed before this counts as missed."""
        was = self._schedules.get(schedule.schedule_id)
        last_tick = wall
        if was is not None:
            same_beat = (was.cron, was.timezone, was.enabled) == (schedule.cron, schedule.timezone, True)
            last_tick = was.last_tick if same_beat else max(was.last_tick, wall)
        kept = _sane(msgspec.structs.replace(schedule, last_tick=last_tick), wall)
        self._put(kept)
        return kept

    def remove(self, schedule_id: str) -> None:
        """Forget a schedule."""
        self._looked_at = math.nan
        self._bytes -= len(self._schedules.pop(schedule_id).body)
        if schedule_id in self._heap:
            self._heap.remove(schedule_id)

    def next_at(self) -> float:
        """When the next tick is, infinity when there is none."""
        first = self._heap.first()
        return first[0] if first is not None else math.inf

    def due(self, wall: float) -> Iterator[Due]:
        """What is due, earliest first, as much as goes at once; each is moved on to its next tick when it is given."""
        for due in self._portion(wall):
            self._put(due.schedule)
            yield due

    def due_ids(self, wall: float) -> list[str]:
        """The ids of jobs that ``due`` would ask for now, without changing anything."""
        return [job_id_of(due.schedule.schedule_id, due.tick) for due in self._portion(wall) if due.runs]

    def follow(self, wall: float) -> None:
        """The wall clock was put back: ticks that it took back come again only when it was wrong by hours."""
        for schedule in list(self._schedules.values()):
            if (sane := _sane(schedule, wall)) is not schedule:
                self._put(sane)

    def page(self, after_id: str, limit: int, runs: int, wall: float) -> protocol.Schedules:
        """Schedules behind ``after_id`` with their next ticks, as many as fit into one message."""
        behind = sorted(schedule_id for schedule_id in self._schedules if schedule_id > after_id)
        found: list[protocol.ScheduleInfo] = []
        size = 0
        for schedule_id in behind[:limit]:
            schedule = self._schedules[schedule_id]
            size += len(schedule.body)
            if found and size > protocol.MAX_BATCH_BYTES:
                break
            ticks = next_runs(schedule, runs, wall) if schedule.enabled else ()
            found.append(protocol.ScheduleInfo(schedule=schedule, next_runs=ticks))
        return protocol.Schedules(schedules=tuple(found), more=len(behind) > len(found))

    def _portion(self, wall: float) -> list[Due]:
        """What is due, as much as goes at once; asked again for the same moment it is not worked out again."""
        if self._looked_at == wall:
            return self._looked
        found: list[Due] = []
        ticks = 0
        for at, schedule_id in self._heap.in_order():
            if at > wall or len(found) == AT_ONCE or ticks >= TICKS_AT_ONCE:
                break
            found.append(_due(self._schedules[schedule_id], wall))
            ticks += 1 + found[-1].missed
        self._looked, self._looked_at = found, wall
        return found

    def _put(self, schedule: protocol.Schedule) -> None:
        self._looked_at = math.nan
        self._bytes = self.bytes_with(schedule)
        self._schedules[schedule.schedule_id] = schedule
        tick = next_tick(schedule, schedule.last_tick) if schedule.enabled else math.inf
        if tick < math.inf:
            self._heap.push(schedule.schedule_id, tick)
        elif schedule.schedule_id in self._heap:
            self._heap.remove(schedule.schedule_id)


def problem_with(cron: str, timezone: str) -> str:
    """Why this cannot be a schedule's beat, in one sentence that names what is wrong; '' when it can."""
    fields = cron.split()
    if len(fields) != 5 or len(cron) > MAX_CRON:
        names = ', '.join(_FIELDS)
        return f'a cron line has five fields ({names}), like 0 9 * * MON-FRI; this one has {len(fields)}'
    for name, field in zip(_FIELDS, fields, strict=True):
        alone = ' '.join(field if each == name else '*' for each in _FIELDS)
        if not _reads(alone):
            return f'the {name} field {field!r} of the cron line cannot be read; it takes {_TAKES[name]}'
    if _zone(timezone) is None:
        return f'{timezone[:100]!r} is no time zone; write one like UTC, Europe/Berlin or Asia/Shanghai'
    if not _reads(cron) or next(CronSim(cron, datetime.fromtimestamp(0, UTC)), None) is None:
        return f'the day-of-month field {fields[2]!r} of the cron line names a day that those months never have'
    return ''


def next_tick(schedule: protocol.Schedule, after: float) -> float:
    """The first tick later than ``after``; infinity when there is none, or its time zone is not known here."""
    return next(_ticks(schedule, after), math.inf)


def next_runs(schedule: protocol.Schedule, count: int, wall: float) -> tuple[float, ...]:
    """The next ``count`` ticks."""
    return tuple(tick for tick, _ in zip(_ticks(schedule, wall), range(count), strict=False))


def _due(schedule: protocol.Schedule, wall: float) -> Due:
    """What the ticks up to ``wall`` come to: the last one may run, those before it were missed."""
    passed = 0
    last = schedule.last_tick
    for tick in _ticks(schedule, schedule.last_tick):
        if tick > wall:
            break
        if passed == COUNTED:
            last = _last_until(schedule, last, wall)
            break
        passed, last = passed + 1, tick
    on_time = wall - last <= LATE_S
    runs = on_time or schedule.missed == 'once'
    return Due(msgspec.structs.replace(schedule, last_tick=last), last, runs, passed - runs)


def _last_until(schedule: protocol.Schedule, last: float, wall: float) -> float:
    """The last tick up to ``wall``, looked for from the end: since ``last`` there were too many to go through."""
    zone = _zone(schedule.timezone)
    back = CronSim(schedule.cron, datetime.fromtimestamp(math.floor(wall) + 1, zone), reverse=True)
    return max((moment.timestamp() for moment, _ in zip(back, range(1), strict=False)), default=last)


def _ticks(schedule: protocol.Schedule, after: float) -> Iterator[float]:
    """The ticks later than ``after``, each later than the one before, also in the hour that a clock goes back."""
    zone = _zone(schedule.timezone)
    if zone is None:
        return
    last = after
    for moment in CronSim(schedule.cron, datetime.fromtimestamp(math.floor(after), zone)):
        if (tick := moment.timestamp()) > last:
            yield tick
            last = tick


def _sane(schedule: protocol.Schedule, wall: float) -> protocol.Schedule:
    if schedule.last_tick <= wall + PUT_BACK_S:
        return schedule
    return msgspec.structs.replace(schedule, last_tick=wall)


def _reads(cron: str) -> bool:
    try:
        CronSim(cron, datetime.fromtimestamp(0, UTC))
    except (CronSimError, ValueError, AssertionError):
        return False
    return True


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not found, no path that could be one, a folder of zones
        return None
