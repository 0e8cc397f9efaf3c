"""Questions that a model thinks of, so that nobody has to begin with an empty page."""

import asyncio
from collections.abc import Iterable

from app.board import Board
from app.chats import chat_request
from app.messages import Message
from broker import errors, protocol
from broker.client import BrokerClient, new_job_id

PRIORITY = 1  # nobody who asks something waits for a suggestion
DEADLINE_S = 600.0


class Suggestions:
    """Each one is a job of a low priority in the queue."""

    def __init__(self, broker: BrokerClient, board: Board) -> None:
        self._broker = broker
        self._board = board

    async def ask(self, model: str, said: Iterable[Message], lang: str, user: str) -> str:
        """Let ``model`` think of a question in this language; the job's id. May raise ``errors.BrokerError``."""
        known = self._board.model(model)
        canned = known is not None and known.engine == 'demo'
        job = protocol.Submit(
            job_id=new_job_id(),
            kind='chat',
            model=model,
            body=chat_request.suggestion(model, said, lang, canned=canned),
            priority=PRIORITY,
            user=user,
            max_failures=1,
        )
        await self._broker.submit(job)
        return job.job_id

    async def question(self, job_id: str) -> str:
        """The question once it is there; '' when it failed or was cancelled."""
        over = asyncio.Event()
        unsubscribe = self._board.subscribe(job_id, lambda: self._complete(job_id) and over.set())
        try:
            if not self._complete(job_id):
                async with asyncio.timeout(DEADLINE_S):
                    await over.wait()
            job = self._board.job(job_id)
            return chat_request.question_in(job.text) if job is not None and job.code == '' else ''
        except TimeoutError:
            return ''
        finally:
            unsubscribe()

    async def cancel(self, job_id: str) -> None:
        """Do without it."""
        try:
            await self._broker.cancel(job_id)
        except errors.Refused:
            return  # it is over, or never came in

    def _complete(self, job_id: str) -> bool:
        job = self._board.job(job_id)
        return job is not None and job.final and job.complete
