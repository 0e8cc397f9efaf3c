"""What can be asked by OpenAI's API, alone or in a batch: the jobs that it takes and the form of its answer. Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple

from app.api import openai_request as asked_for
from app.api import openai_responses_request as responses
from app.api import openai_shapes as shapes
from app.api.openai_form import ChatForm, CompletionForm, EmbeddingForm
from app.api.openai_responses_form import ResponseForm
from app.api.reply import Form
from app.api.trouble import Trouble


class Call(NamedTuple):
    """A request that was read. ``natives`` has a body for each job; ``form`` takes what ``told`` gives."""

    asked: shapes.Common
    kind: str
    natives: list[asked_for.Native]
    form: Callable[..., Form]
    stream: bool = False

    def told(self, job_id: str, created: int) -> dict[str, Any]:
        """What an answer says of its call: unix seconds, and the tier only where one was asked for."""
        tier = self.asked.service_tier
        return {
            'job_id': job_id,
            'created': created,
            'choices': len(self.natives),
            'tier': asked_for.TIERS_TOLD.get(tier, tier) if tier else None,
        }


def read(path: str, body: bytes) -> Call:
    """The call that ``body`` makes at ``path``, one of ``CALLS``. Raises ``Trouble``."""
    kind, make = CALLS[path]
    asked = shapes.read(body, kind)
    if not asked.model:
        raise Trouble('missing_required_parameter', 'you must provide a model parameter', param='model')
    asked_for.tier_priority(asked.service_tier)
    return make(asked)


def _chat(asked: shapes.Chat) -> Call:
    def form(**told: Any) -> Form:
        return ChatForm(asked.model or '', **told, usage=asked.includes_usage)

    return Call(asked, 'chat', asked_for.chat(asked), form, bool(asked.stream))


def _completion(asked: shapes.Completion) -> Call:
    natives, prompts = asked_for.completion(asked)

    def form(**told: Any) -> Form:
        said_first = prompts if asked.echo else None
        return CompletionForm(asked.model or '', **told, usage=asked.includes_usage, prompts=said_first)

    return Call(asked, 'generate', natives, form, bool(asked.stream))


def _embedding(asked: shapes.Embedding) -> Call:
    def form(**told: Any) -> Form:
        return EmbeddingForm(asked.model or '', **told, as_base64=asked.encoding_format == 'base64')

    return Call(asked, 'embed', [asked_for.embedding(asked)], form)


def _response(asked: responses.Asked) -> Call:
    def form(**told: Any) -> Form:
        return ResponseForm(asked.shown(), **told)

    return Call(asked, 'chat', [responses.native(asked)], form, bool(asked.stream))


CALLS: dict[str, tuple[type[shapes.Common], Callable[..., Call]]] = {
    '/v1/chat/completions': (shapes.Chat, _chat),
    '/v1/completions': (shapes.Completion, _completion),
    '/v1/embeddings': (shapes.Embedding, _embedding),
    '/v1/responses': (responses.Asked, _response),
}
