"""``priority: auto``: which priority the content of a job asks for, by rules that are looked at in order."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from broker.job import DEFAULT_PRIORITY

LOOKED_AT = 20_000  # characters of a text in which words are looked for: half at its beginning, half at its end
LAST_MESSAGES = 50  # of a conversation, in which the last question is looked for
# Where words have no spaces between them, a word may stand anywhere: Chinese, Japanese, Korean.
_UNSPACED = (('\u2e80', '\u9fff'), ('\uac00', '\ud7af'), ('\uf900', '\ufaff'), ('\uff66', '\uff9f'))


class Rule(NamedTuple):
    """It speaks when the text has any of its ``words``, if it has some, and a length within its bounds."""

    name: str
    priority: int
    words: tuple[str, ...] = ()
    min_chars: int = 0
    max_chars: int = 0  # 0: no limit


NO_HURRY = ('not urgent', 'no hurry', 'no rush', 'whenever you can', 'low priority')
NO_HURRY_ZH = ('不急', '不着急', '不紧急', '不赶时间', '有空再', '有空的时候')
URGENT = ('urgent', 'urgently', 'immediately', 'asap', 'as soon as possible', 'right now', 'right away', 'emergency')
URGENT_ZH = ('紧急', '马上', '立刻', '立即', '尽快', '赶紧', '十万火急', '加急')
DEFAULT_RULES = (
    Rule('no hurry', 3, (*NO_HURRY, *NO_HURRY_ZH)),
    Rule('urgent', 10, (*URGENT, *URGENT_ZH)),
    Rule('very long', 3, min_chars=20_000),
)


class Guess:
    """The rules, ready to be asked."""

    def __init__(self, rules: Sequence[Rule] = DEFAULT_RULES) -> None:
        self._rules = [(rule, tuple(map(str.casefold, rule.words))) for rule in rules]

    def priority_of(self, body: bytes) -> tuple[int, str]:
        """The priority for a job with this body and the name of the rule that spoke, '' when none did."""
        text = text_of(body)
        seen = text if len(text) <= LOOKED_AT else f'{text[: LOOKED_AT // 2]}\n{text[-LOOKED_AT // 2 :]}'
        seen = seen.casefold()
        for rule, words in self._rules:
            fits = len(text) >= rule.min_chars and (not rule.max_chars or len(text) <= rule.max_chars)
            if fits and (not words or any(_has(seen, word) for word in words)):
                return rule.priority, rule.name
        return DEFAULT_PRIORITY, ''


class _Body(msgspec.Struct):
    messages: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()


class _Message(msgspec.Struct):
    role: msgspec.Raw = msgspec.Raw()
    content: msgspec.Raw = msgspec.Raw()


class _Part(msgspec.Struct):
    text: str = ''


_NOT_THAT = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_body = msgspec.json.Decoder(_Body)
_items: 'msgspec.json.Decoder[list[msgspec.Raw]]' = msgspec.json.Decoder(list[msgspec.Raw])
_message = msgspec.json.Decoder(_Message)
_string = msgspec.json.Decoder(str)
_part = msgspec.json.Decoder(str | _Part)


def text_of(body: bytes) -> str:
    """What a job asks: the last message of the user, or the prompt, or the input. '' for anything else.

    Whatever has the wrong type is passed over; what is not looked at is not decoded.
    """
    try:
        found = _body.decode(body)
    except _NOT_THAT:
        return ''
    return _question(found.messages) or _content(found.prompt) or _content(found.input)


def _question(messages: msgspec.Raw) -> str:
    for raw in reversed(_list(messages)[-LAST_MESSAGES:]):
        try:
            message = _message.decode(raw)
        except _NOT_THAT:
            continue
        if _text(message.role) == 'user':
            return _content(message.content)
    return ''


def _content(raw: msgspec.Raw) -> str:
    """A text, or the texts of a list of texts or parts."""
    text = _text(raw)
    return text if text is not None else '\n'.join(_texts(raw))


def _texts(raw: msgspec.Raw) -> list[str]:
    texts: list[str] = []
    for item in _list(raw):
        try:
            part = _part.decode(item)
        except _NOT_THAT:
            continue
        texts.append(part if isinstance(part, str) else part.text)
    return texts


def _list(raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return _items.decode(raw)
    except _NOT_THAT:
        return []


def _text(raw: msgspec.Raw) -> str | None:
    try:
        return _string.decode(raw)
    except _NOT_THAT:
        return None


def _has(text: str, word: str) -> bool:
    """Whether the word stands in the text, and not as a part of a longer one."""
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not _joined(text[at - 1 : at], word[0]) and not _joined(word[-1], text[end : end + 1]):
            return True
        at = text.find(word, at + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Whether two characters side by side, either of which may be missing, are within one word."""
    return _is_letter(left) and _is_letter(right)


def _is_letter(char: str) -> bool:
    return (char.isalnum() or char == '_') and not any(first <= char <= last for first, last in _UNSPACED)
