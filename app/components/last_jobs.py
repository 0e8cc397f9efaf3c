"""The last fifty jobs at a glance."""

import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from app import i18n
from app.i18n import speech
from app.views import JobView

COUNT = 50


class LastJobs(ui.element, component='last_jobs.js'):
    """A bar for each job that ended lately; ``on_open(job_id)`` when one is pressed."""

    def __init__(self, on_open: Callable[[str], Any]) -> None:
        super().__init__()
        self._props.update(jobs=[], summary='')
        self._jobs: Sequence[JobView] = ()
        i18n.labels(self, title='The last 50', completed='Completed', dead='Failed', cancelled='Cancelled', s='{n} s')
        speech().on_switch(self, lambda: self.show(self._jobs))
        self.on('open', lambda event: on_open(str(event.args)))

    def show(self, ended: Sequence[JobView]) -> None:
        """Show these, newest first."""
        self._jobs = ended[:COUNT]
        bars = [
            {'id': job.job_id, 'state': str(job.state), 'model': job.model, 'took': round(job.waited_s + job.ran_s, 2)}
            for job in reversed(self._jobs)
        ]
        summary = _summary(self._jobs)
        if (bars, summary) != (self._props['jobs'], self._props['summary']):
            self._props.update(jobs=bars, summary=summary)
            self.update()


def _summary(jobs: Sequence[JobView]) -> str:
    said = speech()
    if not jobs:
        return ''
    states = Counter(str(job.state) for job in jobs)
    told = [said.tr('{n} completed', n=said.number(states['completed']))]
    if states['dead']:
        told.append(said.tr('{n} failed', n=said.number(states['dead'])))
    if states['cancelled']:
        told.append(said.tr('{n} cancelled', n=said.number(states['cancelled'])))
    started = [job for job in jobs if job.started_at]
    if started:
        waited, ran = (
            statistics.median(values) for values in zip(*((j.waited_s, j.ran_s) for j in started), strict=True)
        )
        told.append(
            said.tr(
                'half waited under {waited} and ran under {ran}', waited=said.seconds(waited), ran=said.seconds(ran)
            )
        )
    return ' · '.join(told)
