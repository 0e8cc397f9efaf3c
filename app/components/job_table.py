"""The queue as tables: one custom element for all rows, fed with what changed."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n

State = dict[str, Any]


class JobTable(ui.element, component='job_table.js'):
    """Shows a ``State`` (see ``app.pages.queue.state_of``); ``show`` sends only the difference to the one before.

    ``on_stop(job_id)`` and ``on_priority(job_id, priority)`` are what the user wants done.
    """

    def __init__(self, state: State, *, on_stop: Callable[[str], Any], on_priority: Callable[[str, int], Any]) -> None:
        super().__init__()
        self._props['state'] = {**state, 'version': 0}
        _labels(self)
        self.on('stop', lambda event: on_stop(str(event.args)))
        self.on('priority', lambda event: on_priority(str(event.args[0]), int(event.args[1])))
        self.on('gap', self.update)

    def show(self, state: State) -> None:
        """Show ``state``; costs nothing when nothing but the time differs."""
        before: State = self._props['state']
        patch = {key: value for key, value in state.items() if key not in ('rows', 'now') and value != before[key]}
        rows = {job_id: row for job_id, row in state['rows'].items() if row != before['rows'].get(job_id)}
        if not patch and not rows:
            return
        version = before['version'] + 1
        with self._props.suspend_updates():
            self._props['state'] = {**state, 'version': version}  # what a browser gets that shows it anew
        self.run_method('patch', {**patch, 'rows': rows, 'now': state['now'], 'version': version})

    def settle(self, job_id: str) -> None:
        """A wish for this job was refused: its button works again."""
        self.run_method('settle', job_id)


def _labels(table: JobTable) -> None:
    i18n.labels(
        table,
        running='Running',
        waiting='Waiting',
        finished='Ended lately',
        job='Job',
        model='Model',
        priority='Priority',
        user='User',
        worker='Worker',
        elapsed='Running for',
        waited='Waited',
        ran='Ran',
        speed='Speed',
        ahead='Place',
        outcome='Outcome',
        ended='Ended',
        actions='Actions',
        stop='Stop',
        cancel='Cancel',
        stopping='Stopping…',
        change='Change the priority',
        exact='Exactly, 0–15',
        set='Set',
        low='Low',
        normal='Normal',
        high='High',
        realtime='Realtime',
        chat='Chat message',
        generate='Text completion',
        embed='Embedding',
        raw='Other request',
        completed='Done',
        cancelled='Cancelled',
        dead='Failed',
        retry_in='tries again in {time}',
        again='try {n}',
        worker_lost='its worker was lost; it runs again',
        handed_back='handed back by its worker',
        failed_once='failed, will be tried again',
        no_worker='no worker can run this model now',
        no_start_worker='no machine is connected',
        no_pull_model='no machine has this model',
        no_group='no machine of its group has this model',
        no_failing='the machines that have this model are out of order',
        after_one='starts after another job',
        after_many='starts after {n} other jobs',
        by_schedule='by the schedule {name}',
        of_batch='part of a batch',
        shared='for {n} callers',
        limited='held back by a limit',
        limited_for='held back by a limit for {time}',
        paused='paused',
        next='next',
        n_ahead='{n} ahead',
        many_ahead='at least {n} ahead',
        more='and {n} more',
        rate='{n} tokens/s',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
    )
