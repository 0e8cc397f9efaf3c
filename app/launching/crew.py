"""The workers of this machine while it runs: the pool's decisions, carried out."""

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from app.launching.pool import Machine, Pool, WorkerLoad
from app.launching.supervisor import ProcessSpec, Supervisor

LOOK_EVERY_S = 1.0
CPU_SHARE = 0.3  # of the newest second in the mean: a short peak is no reason not to grow

logger = logging.getLogger('corral.crew')


class Crew:
    """Starts and ends workers by what the broker reports. ``workers`` are all that may run, in order of their places.

    One that left because somebody asked it to is not started again before the next start of Corral; another one takes
    its place where there would be too few.
    """

    def __init__(self, pool: Pool, workers: Sequence[ProcessSpec], supervisor: Supervisor) -> None:
        self._pool = pool
        self._specs = {json.loads(spec.settings_json)['worker']: spec for spec in workers}
        self._supervisor = supervisor
        self._load: Mapping[str, WorkerLoad] | None = None  # by the broker's name for it; None: not known now
        self._why = ''
        self._cpu = 0.0
        psutil.cpu_percent()  # the first call only begins to measure

    def on_report(self, fields: Mapping[str, Any]) -> None:
        """What the broker reports: its load, or that it has begun anew and knows nobody yet."""
        if fields.get('ready'):
            self._load = None
        if isinstance(load := fields.get('load'), Mapping):
            self._load = {name: WorkerLoad(**worker) for name, worker in load['workers'].items() if name in self._specs}

    async def run(self) -> None:
        """Look after the workers for ever; cancel it to end it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                self.look(self._machine(), loop.time())
            except Exception:  # the workers that run must go on
                logger.exception('the workers were not looked after', extra={'action': 'look'})

    def look(self, machine: Machine, now: float) -> None:
        """Decide, and do it."""
        if self._load is None:
            return
        running = [name for name, spec in self._specs.items() if self._supervisor.keeps(spec.name)]
        load = {name: self._load[name] for name in running if name in self._load}
        change = self._pool.decide(load, len(running) - len(load), machine, now)
        if change.grow:
            self._grow()
        elif change.leave:
            self._shrink(self._specs[change.leave])
        elif change.why and change.why != self._why:
            self._why = change.why
            logger.info('jobs wait, but no worker is started: %s', change.why, extra={'action': 'stay'})

    def _grow(self) -> None:
        free = [spec for spec in self._specs.values() if not self._supervisor.knows(spec.name)]
        if free:
            self._why = ''
            logger.info('one worker more is needed: %s starts', free[0].name, extra={'action': 'grow'})
            self._supervisor.add(free[0])

    def _shrink(self, spec: ProcessSpec) -> None:
        self._why = ''
        logger.info('%s is not needed now and ends', spec.name, extra={'action': 'shrink'})
        self._supervisor.remove(spec.name)

    def _machine(self) -> Machine:
        self._cpu += (psutil.cpu_percent() - self._cpu) * CPU_SHARE
        return Machine(self._cpu, psutil.virtual_memory().available / 1e6)
