"""What failed for good as one custom element: the errors, the jobs, every attempt with its trace."""

from collections.abc import Callable
from typing import Any

from app import i18n
from app.components import failures, queue_words
from app.components.live_element import LiveElement, State


class DeadLetters(LiveElement, component='dead_letters.js', esm={'corral-queue': 'queue'}):
    """Shows a ``State`` (see ``app.pages.queue_failed``); ids of None are all that the filter lets through."""

    def __init__(
        self,
        state: State,
        *,
        choose: Callable[[dict[str, str]], Any],
        more_rows: Callable[[], Any],
        older: Callable[[], Any],
        look: Callable[[str], Any],
        replay: Callable[[list[str] | None], Any],
        purge: Callable[[list[str] | None], Any],
    ) -> None:
        super().__init__({'now': 0.0, 'all': 0, 'total': 0, **state})
        _labels(self)
        self.on('filter', lambda event: choose(event.args))
        self.on('rows', lambda _: more_rows())
        self.on('older', lambda _: older())
        self.on('look', lambda event: look(str(event.args)))
        self.on('replay', lambda event: replay(event.args))
        self.on('purge', lambda event: purge(event.args))


def _labels(element: DeadLetters) -> None:
    i18n.labels(
        element,
        errors='By error',
        all_errors='All errors',
        search='Search in what failed',
        model='Model',
        user='User',
        all_models='All models',
        all_users='All users',
        clear='Clear the filter',
        none_match='Nothing that failed matches this filter.',
        newest='The newest {n} are listed here; there are more.',
        older='Read older ones',
        elsewhere='The history has all of them',
        pick='Choose',
        pick_shown='Choose all that are shown',
        n_picked='{n} chosen',
        unpick='Choose nothing',
        selection='What is chosen',
        replay='Do it again',
        replay_them='Do them again',
        replay_all='Do all {n} again',
        replay_ask='Do {n} jobs again?',
        replay_why='Each becomes a new job with clean counters; one that was done again already is left out.',
        delete_it='Delete it',
        purge_them='Delete them',
        purge_all='Delete all {n}',
        purge_ask='Delete {n} failed jobs?',
        purge_why='Their questions, answers and errors are gone for good. This cannot be undone.',
        done_again='done again',
        show='Show the attempts',
        hide='Hide the attempts',
        attempt='Attempt {n}',
        attempts_n='Attempts: {n}',
        said='What the engine said',
        trace='For the operator: stack trace',
        lasted='on {worker}, {time}',
        ended_worker_lost='The worker was lost.',
        ended_handed_back='The worker was shut down and handed it back.',
        no_attempts='It never started.',
        more_rows='Show more',
        **queue_words.WORDS,
        **failures.FAILURES,
    )
