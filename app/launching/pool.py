"""How many workers should run on this machine: more while jobs wait, fewer when nothing has been to do for a while.

Pure: what the broker and the machine say goes in, one change at most comes out.
"""

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field


class PoolSettings(BaseModel):
    """When the number of workers changes, where ``workers`` is a range."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    grow_after_s: float = Field(
        default=5.0, ge=0, description='A worker more after jobs have waited that long with all slots busy, seconds.'
    )
    shrink_after_s: float = Field(
        default=60.0, ge=0, description='A worker less after one could be spared for that long, seconds.'
    )
    max_cpu_percent: float = Field(
        default=90.0, gt=0, le=100, description='No worker more while the processors are busier than that, percent.'
    )
    min_free_mb: int = Field(
        default=1024, ge=0, description='No worker more while less memory than that is available, megabytes.'
    )


class WorkerLoad(NamedTuple):
    """One worker as the broker sees it."""

    busy: int
    slots: int  # 0 when it takes nothing new
    wanted: bool  # a job waits that could start here if there were one slot more
    saturated: bool  # its engine does not take more at once


class Machine(NamedTuple):
    """How much this machine can still take."""

    cpu_percent: float
    free_mb: float


class Change(NamedTuple):
    """Start one more (``grow``), end the one named ``leave``, or neither; ``why`` it does not grow though jobs wait."""

    grow: bool = False
    leave: str = ''
    why: str = ''


class Pool:
    """Decides, about once a second, for the workers of one machine."""

    def __init__(self, minimum: int, maximum: int, settings: PoolSettings) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._settings = settings
        self._pressed_since: float | None = None  # all slots busy, and jobs wait; or too few workers
        self._spare_since: float | None = None  # a whole worker could be spared

    def decide(self, load: Mapping[str, WorkerLoad], starting: int, machine: Machine, now: float) -> Change:
        """What to change. ``load`` has the workers of this machine in the order of their places, without those that
        are told to leave; ``starting`` counts those that the broker does not know yet. ``now``: monotonic seconds.
        """
        self._watch(load, starting, now)
        if _lasts(self._pressed_since, self._settings.grow_after_s, now):
            size = len(load) + starting
            if size >= self._minimum and (why := self._obstacle(load, size, machine)):
                return Change(why=why)
            self._pressed_since = self._spare_since = None
            return Change(grow=True)
        if _lasts(self._spare_since, self._settings.shrink_after_s, now) and len(load) > self._minimum:
            idle = [name for name, worker in load.items() if not worker.busy]
            if idle:
                self._spare_since = now  # the next one only after the same time again
                return Change(leave=idle[-1])
        return Change()

    def _watch(self, load: Mapping[str, WorkerLoad], starting: int, now: float) -> None:
        wanted = any(worker.wanted for worker in load.values())
        free = sum(max(0, worker.slots - worker.busy) for worker in load.values())
        too_few = len(load) + starting < self._minimum  # somebody told one to leave
        pressed = too_few or (wanted and not free and not starting)
        spare = not wanted and not starting and free >= max((worker.slots for worker in load.values()), default=1)
        self._pressed_since = (self._pressed_since if self._pressed_since is not None else now) if pressed else None
        self._spare_since = (self._spare_since if self._spare_since is not None else now) if spare else None

    def _obstacle(self, load: Mapping[str, WorkerLoad], size: int, machine: Machine) -> str:
        """Why one more would not do, '' when it would."""
        if size >= self._maximum:
            return f'{self._maximum} workers is the most that --workers allows'
        if all(worker.saturated for worker in load.values()):
            return 'Ollama does not run more at once than it does now'
        if machine.cpu_percent > self._settings.max_cpu_percent:
            return f'the processors are busier than {self._settings.max_cpu_percent:g} %'
        if machine.free_mb < self._settings.min_free_mb:
            return f'less than {self._settings.min_free_mb} MB of memory are available'
        return ''


def _lasts(since: float | None, for_s: float, now: float) -> bool:
    return since is not None and now - since >= for_s
