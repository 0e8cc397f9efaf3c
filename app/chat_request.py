"""What is sent to the model: the request for the engine, as JSON."""

import json
from collections.abc import Iterable

from app.desk import Message


def body(answer: Message, said: Iterable[Message]) -> bytes:
    """The request that makes ``answer``: what was said before it, in order."""
    messages = [
        {'role': message.role, 'content': message.content}
        for message in said
        if message.content  # an answer that failed before its first word says nothing
    ]
    return json.dumps({'model': answer.model, 'messages': messages, 'stream': True}, ensure_ascii=False).encode()
