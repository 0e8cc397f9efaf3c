"""Where a comparison of orders is asked for, waited for and told."""

from collections.abc import Callable
from typing import Any

from app import i18n
from app.components.fed import Fed


class ReplayPanel(Fed, component='replay_panel.js', esm={'corral-figures': 'figures'}):
    """Shows ``{'phase', 'share', 'note', 'lines', 'notes', 'about', 'since', 'until', 'workers'}``, texts already said.

    ``phase`` is 'idle', 'queued' or 'running', ``share`` what is done of it, None while that is not known. ``about``
    has '{time}' where the browser writes the time from ``since`` to ``until``. ``on_run(wish)`` gets ``{'slots':
    {worker: number}, 'resident': number or None}`` as the browser has it; ``on_gone`` is called when the page was left.
    """

    def __init__(self, *, on_run: Callable[[Any], Any], on_stop: Callable[[], Any]) -> None:
        super().__init__()
        self.on_gone = on_stop
        i18n.labels(
            self,
            title='What another order would have done',
            run='Play the jobs once more',
            again='Play them again',
            stop='Stop',
            queued='Another replay is running; this one comes after it.',
            running='The jobs are being played…',
            machines='Ask what other machines would have done',
            slots='Slots',
            slots_hint='Empty: as many as ran there at once.',
            slots_of='Slots of {name}',
            as_was='as it was',
            resident='Models in memory at once, per worker',
        )
        self.on('run', lambda event: on_run(event.args))
        self.on('stop', on_stop, [])

    def show_problem(self, text: str) -> None:
        """Say, in the page's language, what went wrong."""
        self.show({**(self.shown or {'phase': 'idle'}), 'note': text})

    def _handle_delete(self) -> None:
        self.on_gone()
        super()._handle_delete()
