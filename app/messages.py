"""What is said on the desk: conversations and their messages, as they are stored and shown."""

import msgspec

API = 'api'  # the origin of conversations that programs make
ROOT = 'root'  # the parent of a message that follows none


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer took, in seconds and tokens; zero where unknown."""

    waited_s: float = 0.0
    first_token_s: float = 0.0
    tokens_per_s: float = 0.0
    ran_s: float = 0.0
    prompt_s: float = 0.0
    load_s: float = 0.0
    prompt_tokens: int = 0
    output_tokens: int = 0
    starts: int = 0
    losses: int = 0
    truncated: bool = False
    worker: str = ''
    done_reason: str = ''


class File(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was attached to a question; the bytes are in the table ``files``. A picture has a size in pixels."""

    id: str
    name: str
    media_type: str
    size: int
    width: int = 0
    height: int = 0

    @property
    def picture(self) -> bool:
        """Whether it is one; else it is a text."""
        return self.media_type.startswith('image/')


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A tool that the model wanted to be called; the arguments are JSON."""

    name: str
    arguments: str


class Extras(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What only some messages have. ``kept`` is the text that a continued answer goes on from, ``beside`` the other
    one of two answers that are being compared."""

    files: tuple[File, ...] = ()
    tools: tuple[ToolCall, ...] = ()
    thought_s: float = 0.0
    kept: str = ''
    kept_thinking: str = ''
    beside: str = ''


class Conversation(msgspec.Struct, kw_only=True):
    """A conversation's header; ``model`` and ``priority`` are those used last.

    ``shown`` is the last message of the branch that is shown ('': the newest), ``options`` what the model is asked to
    observe, as JSON (``chat_options``).

    ``origin`` is '' for those of the chat page and API for those of programs, which have a ``user`` and a ``state`` of
    their own; ``notes`` is JSON that a program wants kept.
    """

    id: str
    title: str
    created_at: float
    updated_at: float
    model: str
    priority: int
    origin: str = ''
    user: str = ''
    state: str = 'active'
    notes: str = ''
    shown: str = ''
    options: str = '{}'


class Message(msgspec.Struct, kw_only=True):
    """One message. ``state`` is '' for a user's; else pending, completed, cancelled, dead or unsent.

    ``parent`` is the message that it follows: '' is the one stored before it, ``ROOT`` is none.
    """

    id: str
    conversation_id: str
    role: str
    content: str = ''
    thinking: str = ''
    job_id: str = ''
    state: str = ''
    model: str = ''
    priority: int = 5
    stats: Stats = Stats()
    code: str = ''
    detail: str = ''
    created_at: float = 0.0
    notes: str = ''
    parent: str = ''
    extras: Extras = Extras()


Exchange = tuple[Message, Message]  # a question and its answer
