"""LangChain's packages for Ollama and for OpenAI, synchronous and asynchronous, against the desk at ``argv[1]``.

A program of its own, run by ``test_langchain``: the packages leave connections open, which a test's process must not.
"""

import asyncio
import math
import sys
from typing import Any

import langchain_ollama
import langchain_openai
from langchain_core.tools import tool

MODELS = ('demo', 'qwen3')


def chats(url: str, model: str) -> list[Any]:
    """The chat models of both packages; the third asks through OpenAI's responses."""
    of_openai = {'model': model, 'base_url': f'{url}/v1', 'api_key': 'none', 'max_retries': 0}
    return [
        langchain_ollama.ChatOllama(model=model, base_url=url),
        langchain_openai.ChatOpenAI(**of_openai),
        langchain_openai.ChatOpenAI(**of_openai, use_responses_api=True),
    ]


async def chat(url: str) -> None:
    """The same in one piece and streamed, with await and without."""
    for each in (each for model in MODELS for each in chats(url, model)):
        answer = each.invoke('Say something.')
        assert len(answer.text) > 50 and answer.usage_metadata['output_tokens'] > 0, each
        assert (await each.ainvoke('Say something.')).text == answer.text, each
        assert ''.join(part.text for part in each.stream('Say something.')) == answer.text, each
        assert ''.join([part.text async for part in each.astream('Say something.')]) == answer.text, each


@tool
def weather(place: str) -> str:
    """The weather at a place."""
    return f'sunny in {place}'


async def tools(url: str) -> None:
    """The model calls a tool."""
    for each in chats(url, 'caller'):
        (call,) = (await each.bind_tools([weather]).ainvoke('How is the weather in Paris?')).tool_calls
        assert call['name'] == 'weather' and call['args'], each


async def embeddings(url: str) -> None:
    """Both doors give the same vectors."""
    one = langchain_ollama.OllamaEmbeddings(model='demo', base_url=url)
    # Without its own splitting of long texts, for which it fetches the words of OpenAI's models
    place = {'base_url': f'{url}/v1', 'api_key': 'none'}
    other = langchain_openai.OpenAIEmbeddings(model='demo', check_embedding_ctx_length=False, **place)
    first = one.embed_documents(['a', 'b'])
    assert len(first) == 2 and first[0] != first[1]
    assert all(map(close, other.embed_documents(['a', 'b']), first))
    assert close(await one.aembed_query('a'), first[0]) and close(await other.aembed_query('a'), first[0])


async def completions(url: str) -> None:
    """What follows a prompt."""
    for model in (
        langchain_ollama.OllamaLLM(model='qwen3', base_url=url),
        langchain_openai.OpenAI(model='qwen3', base_url=f'{url}/v1', api_key='none'),
    ):
        assert len(model.invoke('Say something.')) > 50
        assert ''.join([part async for part in model.astream('Say something.')])


def close(one: list[float], other: list[float]) -> bool:
    """Whether two vectors are equal but for rounding."""
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True))


async def main(url: str) -> None:
    """All of it; each part says its name when it is done."""
    for part in (chat, tools, embeddings, completions):
        await part(url)
        print(part.__name__, flush=True)


if __name__ == '__main__':
    asyncio.run(main(sys.argv[1]))
