"""LangChain's packages for Ollama and for OpenAI against the running desk."""

import asyncio
import sys

import pytest

from tests.conftest import ROOT, clean_environment

pytestmark = pytest.mark.whole


async def test_langchain_works_by_both_doors(url):
    program = [sys.executable, '-W', 'ignore', '-m', 'tests.app.api.langchain_calls', url]
    process = await asyncio.create_subprocess_exec(
        *program, cwd=ROOT, env=clean_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert (process.returncode, out.split()) == (0, [b'chat', b'tools', b'embeddings', b'completions']), err.decode()
