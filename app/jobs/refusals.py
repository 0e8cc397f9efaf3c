"""Why the queue did not do what somebody wanted, in the words of the page."""

from app.i18n import N_, Speech
from broker import errors

_REFUSED = {
    'final': N_('It has already ended.'),
    'not_found': N_('It has already ended.'),
    'not_waiting': N_('It is running already; its priority cannot be changed any more.'),
    'not_dead': N_('Only a job that failed can be done again.'),
    'queue_full': N_('The queue is full. Wait until some jobs have ended, then try again.'),
    'disk_full': N_('The disk of the queue is full: 32 MB are kept free for what runs. Make room, then try again.'),
    'body_too_large': N_('That is more than the queue takes at once.'),
    'conflict': N_('Its key was used for another request already; take a new key.'),
    'unknown_job': N_('A job that it comes after is not there any more.'),
    'too_many': N_('There are as many of these as there may be; remove some first.'),
}
_AGAIN = {
    'queue_full': N_('The queue is full. Try again in about {time}.'),
}


def why(error: errors.BrokerError, said: Speech) -> str:
    """The sentence to show."""
    if not isinstance(error, errors.Refused):
        return said.tr(N_('The queue does not answer; nothing was changed.'))
    if error.retry_after_s and error.code in _AGAIN:
        return said.tr(_AGAIN[error.code], time=said.seconds(error.retry_after_s))
    return said.tr(_REFUSED.get(error.code, N_('The queue refused that.')))
