"""From a command to the broker of the running Corral, and what the broker refuses in words."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from app.commands.command import CommandError, Exit, Here
from app.commands.moments import took
from app.commands.terminal import clean_line
from broker import child, errors
from broker.client import BrokerClient

_WORDS = {
    'final': 'It has already ended.',
    'not_found': 'Nothing has this id; it may have been removed after its time.',
    'not_waiting': 'It does not wait any more, so that cannot be changed.',
    'not_dead': 'Only a job that failed for good can be done again.',
    'queue_full': 'The queue is full; wait until some jobs have ended, then try again.',
    'disk_full': f'{errors.DISK_FULL[0].upper()}{errors.DISK_FULL[1:]}.',
    'unknown_job': 'A job that it should come after is not there any more.',
}


def run(here: Here, function: Callable[..., Coroutine[Any, Any, Any]], given: Mapping[str, Any]) -> Any:
    """Call ``function`` with the broker of the running Corral. Raises ``CommandError``."""
    corral = here.corral()

    async def work() -> Any:
        async with BrokerClient(corral.endpoints) as broker:
            return await function(here, broker, **given)

    try:
        return child.run(work())
    except errors.Refused as refused:
        raise CommandError(words(refused)) from None
    except errors.BrokerUnreachable:
        raise CommandError(
            f'Corral (pid {corral.pid}) does not answer. It may be starting or stopping; '
            f'if that goes on, look into {here.data_dir / "logs"}.',
            Exit.NO_CORRAL,
        ) from None


def words(refused: errors.Refused) -> str:
    """Why the queue said no, as a sentence."""
    detail = clean_line(refused.detail)
    sentence = _WORDS.get(refused.code) or f'The queue refused that: {detail.rstrip(".")}.'
    if refused.retry_after_s:
        sentence += f' Try again in {took(refused.retry_after_s)}.'
    return sentence
