"""What the pages work with: one object, made at start-up and handed to every page."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.board import Board
from app.jobs.openings import Openings
from broker.client import BrokerClient

if TYPE_CHECKING:
    from app.settings import AppSettings


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Pages know the board and the client, never sockets or SQL."""

    settings: 'AppSettings'
    board: Board
    broker: BrokerClient
    chat: Any = None  # app.chats.chat.ChatService
    shelf: Any = None  # app.shelf.shelf.Shelf: folders, pins, the order of conversations
    search: Any = None  # app.shelf.shelf_search.Search: over all that was said
    analytics: Any = None  # analytics' queries, for the analytics page

    @functools.cached_property
    def openings(self) -> Openings:
        """What jobs are called that have no title."""
        return Openings(self.broker)

    def title_of(self, conversation_id: str) -> str:
        """A conversation's title, '' when it has none or is not known."""
        return (self.chat.title_of(conversation_id) or '') if self.chat is not None and conversation_id else ''

    def name_of(self, job_id: str, conversation_id: str) -> str:
        """What a job is called: its conversation's title, else how it begins, as far as that is known yet."""
        return self.title_of(conversation_id) or self.openings.of(job_id)
