"""Batches as one custom element: their progress, and the jobs of the one that is open."""

from collections.abc import Callable
from typing import Any

from app import i18n
from app.components import failures, queue_words
from app.components.live_element import LiveElement, State


class Batches(LiveElement, component='batches.js', esm={'corral-queue': 'queue'}):
    """Shows a ``State`` (see ``app.pages.queue_batches``)."""

    def __init__(
        self,
        state: State,
        *,
        open_batch: Callable[[str, str], Any],
        cancel: Callable[[str], Any],
        more: Callable[[str], Any],
    ) -> None:
        super().__init__({'now': 0.0, **state})
        _labels(self)
        self.on('open', lambda event: open_batch(str(event.args[0]), str(event.args[1])))
        self.on('cancel', lambda event: cancel(str(event.args)))
        self.on('more', lambda event: more(str(event.args)))


def _labels(element: Batches) -> None:
    i18n.labels(
        element,
        progress='Progress',
        done_of='{done} of {total}',
        going='goes on',
        over='took {time}',
        left='about {time} left',
        missing='{n} still to be sent',
        n_completed='{n} completed',
        n_dead='{n} failed',
        n_cancelled='{n} cancelled',
        n_running='{n} at work',
        n_waiting='{n} in the queue',
        download='Download the results',
        cancel_all='Cancel all',
        cancel_ask='Cancel the batch “{name}”?',
        cancel_why='Its {n} jobs that have not ended will not run, and it takes no more. This cannot be undone.',
        show='Show its jobs',
        hide='Hide its jobs',
        all='All',
        more_batches='Show older batches',
        more_jobs='Show more jobs',
        no_jobs='No job of this batch is in this state.',
        opened_at='begun {time}',
        state='State',
        **queue_words.OF_STATES,
        **queue_words.WORDS,
        **failures.FAILURES,
    )
