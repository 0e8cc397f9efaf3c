"""What is sent to the model: the request for the engine, as JSON."""

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

from app.chats import chat_options
from app.chats.chat_options import Options
from app.i18n import N_, tr
from app.messages import File, Message
from broker import protocol

ROOM_BYTES = protocol.MAX_BODY_BYTES - 64 * 1024  # of a request, beside what stands around the messages
MOST_SAID = 6  # messages that a suggestion looks at
MOST_SAID_CHARS = 1_500  # of each

_SUGGEST = {
    'en': (
        'Suggest one question that a curious person could ask a language model now. '
        'Reply with the question alone, in English, in one sentence, without quotation marks.'
    ),
    'zh': '请提出一个现在值得向语言模型提问的问题。只回复这个问题本身，用中文，一句话，不要加引号。',
}
_CANNED = N_('How does a queue decide who goes first when everybody is in a hurry?')


def body(answer: Message, said: Iterable[Message], options: Options, files: Mapping[str, bytes]) -> bytes:
    """The request that makes ``answer``: what was said before it, in order; ``files`` are the bytes of those attached.

    Where not all fits into a request, the pictures of the oldest questions are left out.
    """
    messages: list[dict[str, Any]] = [{'role': 'system', 'content': options.system}] if options.system else []
    pictures: list[tuple[dict[str, Any], File]] = []
    for message in said:
        content = '\n\n'.join(filter(None, (message.content, *_quoted(message.extras.files, files))))
        shown = [file for file in message.extras.files if file.picture and file.id in files]
        if not content and not shown:
            continue  # an answer that failed before its first word says nothing
        messages.append({'role': message.role, 'content': content})
        pictures += [(messages[-1], file) for file in shown]
    if answer.extras.kept:
        messages.append({'role': 'assistant', 'content': answer.extras.kept})
    room = ROOM_BYTES - len(json.dumps(messages, ensure_ascii=False).encode(errors='replace'))
    for message_, file in reversed(pictures):
        room -= 4 * (file.size // 3 + 1) + 4
        if room < 0:
            break
        message_.setdefault('images', []).insert(0, base64.b64encode(files[file.id]).decode())
    whole = {'model': answer.model, 'messages': messages, 'stream': True, **chat_options.request(options)}
    return json.dumps(whole, ensure_ascii=False).encode()


def suggestion(model: str, said: Iterable[Message], lang: str, *, canned: bool) -> bytes:
    """The request that makes a question; ``canned`` for the demo, which cannot think of one."""
    last = [message for message in said if message.content][-MOST_SAID:]
    messages = [{'role': each.role, 'content': each.content[:MOST_SAID_CHARS]} for each in last]
    wish = {'role': 'user', 'content': _SUGGEST[lang]}
    options: dict[str, Any] = {'num_predict': 400, 'temperature': 1.0}
    if canned:
        options['demo'] = {'text': tr(lang, _CANNED)}
    whole = {'model': model, 'messages': [*messages, wish], 'stream': True, 'options': options}
    return json.dumps(whole, ensure_ascii=False).encode()


def question_in(text: str) -> str:
    """The question in what a model wrote when it was asked to suggest one; '' when there is none."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), '')
    return line.strip('"“”「」\'* ')[:600]


def _quoted(attached: Iterable[File], files: Mapping[str, bytes]) -> list[str]:
    """Texts that were attached, each as a block under its name."""
    found = []
    for file in attached:
        if not file.picture and file.id in files:
            text = files[file.id].decode(errors='replace').rstrip()
            fence = '`' * (max(2, _longest_run(text)) + 1)
            found.append(f'{file.name}:\n{fence}\n{text}\n{fence}')
    return found


def _longest_run(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == '`' else 0
        longest = max(longest, run)
    return longest
