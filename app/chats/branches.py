"""A conversation's messages as a tree: a question may have several answers, and an answer several next questions."""

from collections.abc import Iterable

from app.messages import ROOT, Message


class Branches:
    """The tree of these messages, which stand in the order in which they were stored."""

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._messages: dict[str, Message] = {}
        self._parents: dict[str, str] = {}
        self._children: dict[str, list[str]] = {ROOT: []}
        before = ROOT
        for message in messages:
            parent = message.parent or before
            if parent not in self._children:
                parent = before
            self._messages[message.id] = message
            self._parents[message.id] = parent
            self._children[parent].append(message.id)
            self._children[message.id] = []
            before = message.id

    def message(self, message_id: str) -> Message | None:
        """One of them."""
        return self._messages.get(message_id)

    def parent_of(self, message_id: str) -> str:
        """What it follows, ``ROOT`` for a first one."""
        return self._parents[message_id]

    def path(self, message_id: str) -> list[Message]:
        """All from the first one down to this one; empty for ``ROOT``."""
        found = []
        while message_id in self._messages:
            found.append(self._messages[message_id])
            message_id = self._parents[message_id]
        return found[::-1]

    def shown(self, last: str) -> list[Message]:
        """The branch that leads over ``last``, down to its end; the newest one where that is not known."""
        if last not in self._messages:
            last = next(reversed(self._messages), ROOT)
        return self.path(self._end_of(last))

    def turn(self, message_id: str) -> tuple[int, int]:
        """Which one it is of those that follow the same message, from 1 on, and how many there are."""
        siblings = self._children[self._parents[message_id]]
        return siblings.index(message_id) + 1, len(siblings)

    def turned(self, message_id: str, step: int) -> str:
        """The end of the branch that is shown when one goes so many steps aside from this message."""
        siblings = self._children[self._parents[message_id]]
        place = min(max(siblings.index(message_id) + step, 0), len(siblings) - 1)
        return self._end_of(siblings[place])

    def followed(self, message_id: str) -> bool:
        """Whether something was said after it."""
        return bool(self._children[message_id])

    def _end_of(self, message_id: str) -> str:
        while self._children[message_id]:
            message_id = self._children[message_id][-1]
        return message_id
