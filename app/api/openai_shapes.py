"""What clients of OpenAI's API send: the shapes of its requests, as far as they mean something here."""

import re
from typing import Annotated, Any, TypeVar

import msgspec

from app.api.trouble import Trouble

MAX_CHOICES = 16  # jobs that one call may make
_PATH = re.compile(r' - at `\$\.?(.*)`$')

T = TypeVar('T')
AtLeastOne = Annotated[int, msgspec.Meta(ge=1)]


class ImageUrl(msgspec.Struct):
    """Where an image is; only ``data:`` URLs are taken."""

    url: str


class Audio(msgspec.Struct):
    """Sound, base64."""

    data: str


class Part(msgspec.Struct):
    """One piece of a message."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | str | None = None
    input_audio: Audio | None = None


class Function(msgspec.Struct):
    """A function that was called, with its arguments as JSON text."""

    name: str
    arguments: str = ''


class ToolCall(msgspec.Struct):
    """A call that the model asked for earlier."""

    id: str = ''
    function: Function | None = None


class Message(msgspec.Struct):
    """A message of a chat."""

    role: str
    content: str | list[Part] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class JsonSchema(msgspec.Struct):
    """The schema that an answer has to keep to."""

    schema: dict[str, msgspec.Raw]


class ResponseFormat(msgspec.Struct):
    """text, json_object or json_schema."""

    type: str
    json_schema: JsonSchema | None = None


class StreamOptions(msgspec.Struct):
    """What a stream should tell besides."""

    include_usage: bool | None = None


class Reasoning(msgspec.Struct):
    """How much to think."""

    effort: str | None = None


class Common(msgspec.Struct, kw_only=True):
    """What all requests have. What is not named here is ignored, as clients send much that only OpenAI knows."""

    model: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    options: dict[str, msgspec.Raw] | None = None  # Ollama's own, for who needs num_ctx and the like
    keep_alive: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @property
    def caller(self) -> str | None:
        """For whom it is, where the client says so."""
        return self.safety_identifier or self.user


class Sampled(Common, kw_only=True):
    """What chats and completions have."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: AtLeastOne | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None

    @property
    def includes_usage(self) -> bool:
        """Whether the stream ends with what it cost."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Chat(Sampled, kw_only=True):
    """``POST /v1/chat/completions``."""

    messages: list[Message] | None = None
    max_completion_tokens: AtLeastOne | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: str | None = None
    reasoning: Reasoning | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


class Completion(Sampled, kw_only=True):
    """``POST /v1/completions``."""

    prompt: str | list[str | int | list[int]] | None = None
    suffix: str | None = None
    echo: bool | None = None
    logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


class Embedding(Common, kw_only=True):
    """``POST /v1/embeddings``."""

    input: str | list[str | int | list[int]] | None = None
    dimensions: AtLeastOne | None = None
    encoding_format: str | None = None


def read(body: bytes, kind: type[T]) -> T:
    """The request in ``body``. Raises ``Trouble`` that names the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        place = _PATH.search(str(error))
        param = place[1] if place and place[1] else None
        what = str(error).removesuffix(place[0]) if place else str(error)
        raise Trouble('bad_request', f'Invalid value for {param or "the request"}: {what}.', param=param) from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        detail = f'We could not parse the JSON body of your request: {_why(body, error)}.'
        raise Trouble('bad_request', detail) from None


def _why(body: bytes, error: Exception) -> str:
    if not body.strip():
        return 'it is empty'
    if isinstance(error, RecursionError):
        return 'it is nested too deeply'
    return 'it is not UTF-8' if isinstance(error, UnicodeError) else str(error).removesuffix('.')
