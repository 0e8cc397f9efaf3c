"""Search over all conversations of the chat page: their titles, and every word that was said.

Three characters and more are found in an index of all trigrams, Chinese ones too. One or two are the beginnings of some
of these; where that are too many, the messages themselves are read, newest first, which then does not take long. Either
way on a connection and a thread of its own, so that nobody waits for a search.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from app.chats.chat import ChatService
from app.desk import DeskError
from app.messages import Conversation

MOST_CONVERSATIONS = 40
HITS_EACH = 3
LONGEST_QUERY = 200  # characters
MOST_TRIGRAMS = 300  # that one or two characters may begin; what begins more of them is said often
PATIENCE_S = 2.0  # then what was found until then has to do
CHECK_EVERY = 20_000  # steps of SQLite's machine between two looks at the clock
BEFORE, AFTER = 24, 70  # characters of a snippet around what was found
SIGNS: list[
    tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]
] = [  # of Markdown, and what is to be read in their place
    (re.compile(r'^[ \t]*(?:```|~~~).*$', re.MULTILINE), ''),
    (re.compile(r'^[ \t]*\|?[ \t]*:?-{3,}[-:| \t]*$', re.MULTILINE), ''),
    (re.compile(r'^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+][ \t]+)+', re.MULTILINE), ''),
    (re.compile(r'^[ \t]*\|.*$', re.MULTILINE), lambda row: row.group().replace('|', ' ')),
    (re.compile(r'!?\[([^\[\]\n]*)\]\([^()\s]*\)'), r'\1'),
    (re.compile(r'(?<![A-Za-z0-9_*])(?:\*\*|~~)(?=\S)|(?<=\S)(?:\*\*|~~)(?![A-Za-z0-9_*])'), ''),
    (re.compile(r'(?<![\w*])\*(?=[^\s*])([^*\n]*[^\s*])\*(?![\w*])'), r'\1'),
    (re.compile(r'`+'), ''),
]

Segments = list[tuple[str, bool]]  # parts of a text, and whether each is what was looked for


class Hit(msgspec.Struct, frozen=True):
    """A message that says it."""

    message: str
    role: str
    at: float
    snippet: Segments


class Found(msgspec.Struct, frozen=True):
    """A conversation in which it is said."""

    conversation: Conversation
    title: Segments
    hits: list[Hit]


class Findings(msgspec.Struct, frozen=True):
    """What a search found, conversations whose title has it first; ``more`` says that this is not all."""

    found: list[Found]
    more: bool = False


class Search:
    """Looks into ``desk.db`` at ``path`` for what the conversations of ``chat`` say."""

    def __init__(self, chat: ChatService, path: Path) -> None:
        self._chat = chat
        self._path = path
        self._db: apsw.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix='desk-search')

    def close(self) -> None:
        """End the thread and close the file."""
        if self._db is not None:
            self._thread.submit(self._db.close)
            self._db = None
        self._thread.shutdown()

    async def find(
        self, text: str, *, limit: int = MOST_CONVERSATIONS, wanted: Callable[[], bool] = lambda: True
    ) -> Findings:
        """All words of ``text``, in whatever case and order. Raises ``desk.DeskError``.

        ``wanted`` is asked now and then from another thread: once it says no, the search ends with what it has.
        """
        words = _clean(text[:LONGEST_QUERY]).split()
        if not words:
            return Findings([])
        query = _Query(words)
        headers = {each.id: each for each in self._chat.conversations()}
        titled = [header for header in headers.values() if query.fits(header.title)]
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._said, query, headers, limit, wanted)
        try:
            said, more = await work
        except apsw.Error as error:
            raise DeskError(f'{self._path} cannot be searched: {error}.') from error
        order = [*(each.id for each in titled[:limit]), *(each for each in said if not query.fits(headers[each].title))]
        found = [Found(headers[each], query.mark(headers[each].title), said.get(each, [])) for each in order[:limit]]
        return Findings(found, more or len(titled) > limit or len(order) > limit)

    def _said(
        self, query: '_Query', headers: dict[str, Conversation], limit: int, wanted: Callable[[], bool]
    ) -> tuple[dict[str, list[Hit]], bool]:
        """By conversation the newest messages that fit, and whether there may be more."""
        give_up_at = time.monotonic() + PATIENCE_S
        found: dict[str, list[Hit]] = {}
        if not wanted():
            return found, True
        db = self._reader()
        db.set_progress_handler(lambda: time.monotonic() > give_up_at or not wanted(), CHECK_EVERY)
        try:
            for message_id, conversation_id, role, at, content in query.candidates(db):
                if conversation_id not in headers or not query.fits(content):
                    continue  # deleted, or the words are there but not all of them
                if conversation_id not in found and len(found) >= limit:
                    return found, True
                hits = found.setdefault(conversation_id, [])
                if len(hits) < HITS_EACH:
                    hits.append(Hit(message_id, role, at, query.snippet(content)))
        except apsw.InterruptError:
            return found, True
        finally:
            db.set_progress_handler(None)
        return found, False

    def _reader(self) -> apsw.Connection:
        if self._db is None:
            self._db = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
            self._db.set_busy_timeout(1000)
            self._db.execute("CREATE VIRTUAL TABLE temp.trigrams USING fts5vocab('main', 'found', 'row')")
        return self._db


class _Query:
    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._any = re.compile(
            '|'.join(re.escape(each) for each in sorted(words, key=len, reverse=True)), re.IGNORECASE
        )
        self._each = [re.compile(re.escape(each), re.IGNORECASE) for each in words]

    def fits(self, text: str) -> bool:
        """Whether a text has all words."""
        return all(each.search(text) for each in self._each)

    def candidates(self, db: apsw.Connection) -> Iterator[Any]:
        """The messages that may fit, newest first: id, conversation, role, time, text."""
        what = 'SELECT m.id, m.conversation_id, m.role, m.created_at, m.content FROM'
        message = 'JOIN messages m ON m.id = s.message_id'
        long = [_quoted(each) for each in self._words if len(each) >= 3]
        wanted = long or [_beginning(db, each) for each in self._words]
        if '()' in wanted:
            return iter(())
        if match := ' AND '.join(each for each in wanted if each):
            return db.execute(
                f'{what} found f JOIN searched s ON s.number = f.rowid {message} WHERE found MATCH ? '
                'ORDER BY f.rowid DESC',
                (match,),
            )
        patterns = ['%' + re.sub(r'([%_\\])', r'\\\1', each) + '%' for each in self._words]
        like = ' AND '.join("m.content LIKE ? ESCAPE '\\'" for _ in patterns)
        return db.execute(f'{what} searched s {message} WHERE {like} ORDER BY s.number DESC', patterns)

    def mark(self, text: str) -> Segments:
        """A text in parts, those that were looked for marked."""
        parts: Segments = []
        end = 0
        for match in self._any.finditer(text):
            if match.start() > end:
                parts.append((text[end : match.start()], False))
            parts.append((match.group(), True))
            end = match.end()
        return [*parts, (text[end:], False)] if end < len(text) or not parts else parts

    def snippet(self, text: str) -> Segments:
        """The place where the first of the words stands, on one line and without the signs of Markdown."""
        match = self._any.search(text)
        at, end = match.span() if match else (0, 0)
        cut = at > 4 * BEFORE
        text = text[max(0, at - 4 * BEFORE) : end + 4 * AFTER]
        plain = _plain(text)
        # where it was the signs that were looked for, they are shown
        text, match = (plain, found) if (found := self._any.search(plain)) else (text, self._any.search(text))
        at, end = match.span() if match else (0, 0)
        before, after = ' '.join(text[:at].split()), ' '.join(text[end:].split())
        before = ('…' if len(before) > BEFORE or cut else '') + before[-BEFORE:]
        gap = ' ' if at and text[at - 1].isspace() else ''
        space = ' ' if text[end : end + 1].isspace() else ''
        return self.mark(before + gap + text[at:end] + space + after[:AFTER] + ('…' if len(after) > AFTER else ''))


def _plain(text: str) -> str:
    for sign, instead in SIGNS:
        text = sign.sub(instead, text)
    return text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _beginning(db: apsw.Connection, word: str) -> str:
    """What finds one or two characters: the trigrams that begin so, '()' for none, '' where they are too many."""
    low = word.lower()
    if len(low) != len(word):
        return ''  # it folds otherwise in the index
    query = 'SELECT term FROM temp.trigrams WHERE term >= ? AND term < ? LIMIT ?'
    rows: list[Any] = db.execute(query, (low, low[:-1] + chr(ord(low[-1]) + 1), MOST_TRIGRAMS + 1)).fetchall()
    return '' if len(rows) > MOST_TRIGRAMS else '(' + ' OR '.join(_quoted(term) for (term,) in rows) + ')'


def _clean(text: str) -> str:
    """Without what SQLite cannot take: half of a character, and the zero that ends a text."""
    return text.encode('utf-8', 'replace').decode().replace('\0', ' ')
