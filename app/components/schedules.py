"""Schedules as one custom element: the list, and the form to add or change one."""

from collections.abc import Callable
from typing import Any

from app import i18n
from app.components import queue_words
from app.components.live_element import LiveElement, State


class Schedules(LiveElement, component='schedules.js', esm={'corral-queue': 'queue'}):
    """Shows a ``State`` (see ``app.pages.queue_schedules``); what the user wants comes back by the arguments' names."""

    def __init__(
        self,
        state: State,
        *,
        save: Callable[[State], Any],
        preview: Callable[[str, str], Any],
        switch: Callable[[str, bool], Any],
        remove: Callable[[str], Any],
        run: Callable[[str], Any],
        load: Callable[[], Any],
    ) -> None:
        super().__init__({'now': 0.0, **state})
        _labels(self)
        self.on('save', lambda event: save(event.args))
        self.on('preview', lambda event: preview(str(event.args[0]), str(event.args[1])))
        self.on('switch', lambda event: switch(str(event.args[0]), bool(event.args[1])))
        self.on('remove', lambda event: remove(str(event.args)))
        self.on('run', lambda event: run(str(event.args)))
        self.on('load', load, args=[])


def _labels(element: Schedules) -> None:
    i18n.labels(
        element,
        add='Add a schedule',
        edit='Change it',
        edit_title='Change the schedule',
        name='Name',
        zone='Time zone',
        next_runs='Next runs',
        model='Model',
        on='On',
        run='Run it now',
        remove='Remove it',
        remove_ask='Remove the schedule “{name}”?',
        remove_why='It makes no more jobs; those it has made stay. This cannot be undone.',
        in_time='in {time}',
        off='off',
        none='none yet',
        cron='Cron line',
        cron_hint='Five fields: minute, hour, day, month, weekday. “0 7 * * 1-5” is Monday to Friday at 07:00.',
        quick='Often used',
        hourly='Every hour',
        daily='Every morning',
        workdays='On workdays',
        weekly='Every Monday',
        monthly='Every month',
        prompt='What to ask',
        system='System prompt (may stay empty)',
        by_program='A program made its request; it stays as it is.',
        priority='Priority',
        missed='Times that were missed while Corral was off',
        missed_skip='leave out',
        missed_once='make up for with one job',
        save='Save',
        saving='Saving…',
        close='Close',
        **queue_words.OF_STATES,
        **queue_words.WORDS,
    )
