"""The queue: what runs and waits now, and beside it the schedules, the batches and what failed for good."""

from collections.abc import Callable

from app.i18n import N_, T
from app.pages import queue_batches, queue_failed, queue_live, queue_schedules
from app.parts import Parts
from app.shell import theme

VIEWS: dict[str, tuple[str, Callable[[Parts], None]]] = {
    '': (N_('Now'), queue_live.create),
    'schedules': (N_('Schedules'), queue_schedules.create),
    'batches': (N_('Batches'), queue_batches.create),
    'failed': (N_('Failed jobs'), queue_failed.create),
}


def create(parts: Parts, view: str = '') -> None:
    """Build the page; ``view`` is what stands behind ``/queue/`` in the address."""
    chosen = view if view in VIEWS else ''
    bar, body = theme.page('Queue')
    with bar, T(theme.box('queue-tabs', tag='nav'), 'Parts of the queue', prop='aria-label'):
        for name, (title, _) in VIEWS.items():
            link = theme.text(tag='a').props(f'href=/queue{"/" + name if name else ""}')
            T(link, title).props('aria-current=page' if name == chosen else '')
    with body, theme.box('column'):
        VIEWS[chosen][1](parts)
