"""Why the queue did not do what somebody wanted, in the words of the page."""

from app.i18n import N_
from broker import errors

_REFUSED = {
    'final': N_('It has already ended.'),
    'not_found': N_('It has already ended.'),
    'not_waiting': N_('It is running already; its priority cannot be changed any more.'),
}


def why(error: errors.BrokerError) -> str:
    """The msgid of the sentence to show."""
    if isinstance(error, errors.Refused):
        return _REFUSED.get(error.code, N_('The queue refused that.'))
    return N_('The queue does not answer; nothing was changed.')
