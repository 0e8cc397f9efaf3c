"""Browser notifications when a long answer is ready, and the switch by which one asks for them.

The choice is the browser's own (the cookie ``corral_notify``); nothing is shown while a tab of the desk is in sight.
"""

from nicegui import ui

from app import i18n
from app.parts import Parts
from app.views import JobView
from app.visit import watch
from broker.job import State

LONG_S = 10.0  # an answer that took at least so long, waiting included, is worth a notification


class Notifier(ui.element, component='notifier.js'):
    """One per page, shows nothing itself: tells the browser which long answers have ended, if it wants to know."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        self._wanted = False
        i18n.labels(
            self,
            ready='The answer is ready.',
            failed='There is no answer: the model failed.',
            untitled='Conversation',
        )
        self.on('wanted', self._want)
        watch(parts.board.on_ended, self._ended)

    def _want(self, event: object) -> None:
        self._wanted = bool(getattr(event, 'args', False))

    def _ended(self, job: JobView) -> None:
        if self._wanted and worth_telling(job):
            told = {
                'id': job.job_id,
                'title': self._parts.title_of(job.conversation_id),
                'conversation': job.conversation_id,
                'failed': job.state is State.DEAD,
            }
            self.run_method('tell', told)


class NotifySwitch(ui.element, component='notify_switch.js'):
    """The switch for the settings page. It asks the browser for permission when it is switched on."""

    def __init__(self) -> None:
        super().__init__()
        i18n.labels(
            self,
            name='Notify me when a long answer is ready',
            hint='Only while no tab of this desk is in sight, for answers that take 10 seconds or more.',
            denied='This browser blocks notifications of this site. Allow them in its site settings.',
            insecure='Browsers show notifications only over https or on the computer that Corral runs on.',
            missing='This browser has no notifications.',
            sample='This is how it will look.',
        )


def worth_telling(job: JobView) -> bool:
    """Whether somebody may have gone away while waiting for this: an answer of a conversation that took long."""
    long = job.waited_s + job.ran_s >= LONG_S
    return bool(job.conversation_id) and long and job.state in (State.COMPLETED, State.DEAD)
