"""What jobs without a title are called: the first words of what they ask, asked for once."""

import asyncio

import pytest

from app.jobs.openings import AT_ONCE, Openings
from app.parts import Parts
from broker import errors


class Broker:
    """Says what each job asks, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.was_asked = asyncio.Event()
        self.trouble: errors.BrokerError | None = None

    async def excerpts(self, job_ids) -> tuple[str, ...]:
        self.asked.append(tuple(job_ids))
        self.was_asked.set()
        await asyncio.sleep(0)
        if self.trouble is not None:
            raise self.trouble
        return tuple('' if job_id.startswith('embed') else f'Why {job_id}?' for job_id in job_ids)


@pytest.fixture
def broker() -> Broker:
    return Broker()


async def known(openings: Openings, job_id: str) -> str:
    """How a job begins, when that was looked up."""
    heard = asyncio.Event()
    openings.on_news(heard.set)
    async with asyncio.timeout(60):
        while not (words := openings.of(job_id)):
            await heard.wait()
            heard.clear()
    return words


async def test_what_is_looked_at_is_asked_for_together_and_once(broker: Broker):
    openings = Openings(broker)
    assert [openings.of(job_id) for job_id in ('a', 'b', 'embed')] == ['', '', '']
    assert not openings.looked_up('a')
    told = []
    openings.on_news(lambda: told.append(openings.of('a')))
    assert await known(openings, 'b') == 'Why b?'
    assert told == ['Why a?'] and openings.of('embed') == '' and openings.looked_up('embed')
    assert broker.asked == [('a', 'b', 'embed')], 'also the one without words is known'


async def test_many_are_asked_for_in_portions(broker: Broker):
    openings = Openings(broker)
    openings.want(str(number) for number in range(2 * AT_ONCE + 1))
    assert await known(openings, str(2 * AT_ONCE)) == 'Why 200?'
    assert [len(each) for each in broker.asked] == [AT_ONCE, AT_ONCE, 1]


async def test_when_the_queue_does_not_answer_the_next_look_asks_again(broker: Broker):
    openings, broker.trouble = Openings(broker), errors.BrokerUnreachable()
    openings.of('a')
    await asyncio.wait_for(broker.was_asked.wait(), 60)
    broker.trouble = None
    assert await known(openings, 'a') == 'Why a?'


async def test_a_title_goes_before_the_first_words(broker: Broker):
    class Chat:
        def title_of(self, conversation_id: str) -> str:
            return {'c': 'Trip to Kyoto'}.get(conversation_id, '')

    parts = Parts(settings=None, board=None, broker=broker, chat=Chat())
    assert parts.name_of('a', 'c') == 'Trip to Kyoto' and not broker.asked
    await known(parts.openings, 'a')
    assert parts.name_of('a', '') == 'Why a?'
