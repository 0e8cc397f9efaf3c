"""A Corral with something to show: jobs in every state, failures, a batch, schedules and conversations.

All of it goes in by the front doors: the HTTP interface, and the page for conversations. It needs the demo engine.
"""

from typing import Any

import httpx
from playwright.async_api import Browser

USERS = ('anna', '李明', 'bot-nightly', 'omar')
PRIORITIES = (5, 5, 10, 1, 5, 15)
QUESTIONS = (
    'Summarise the quarterly report for the board in five bullet points.',
    '把这段会议记录整理成待办事项，按负责人分组。',
    'Write a Python function that reads only three columns of a large CSV file.',
    '解释一下量子隧穿，要让十岁的孩子也能听懂。',
    'Translate the release notes into German and French.',
)
TRACE = (
    'Traceback (most recent call last):\n  File "runner.py", line 214, in decode\n    logits = self.model(tokens)\n'
    'RuntimeError: CUDA error: out of memory'
)
FAILURES = (
    {'code': 'engine_error', 'detail': TRACE, 'after': 12},
    {'code': 'bad_request', 'detail': 'the prompt is longer than the context of the model'},
    {'code': 'engine_error', 'detail': 'llama runner process has terminated: signal: killed'},
)


async def furnish(browser: Browser, url: str) -> dict[str, str]:
    """Fill it; the ids of what is shown: ``conversation``, ``failed``, ``done``."""
    conversation = await _converse(browser, url)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        ids = await _ended(http)
        await _batch(http)
        await _schedules(http)
        await _alive(http)
    return {**ids, 'conversation': conversation}


async def ids_of(url: str) -> dict[str, str]:
    """The same of one that has been used already; an id that there is not leads nowhere."""
    found = {'conversation': ''}
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for name, state in (('failed', 'dead'), ('done', 'completed')):
            jobs = (await http.get('/api/jobs', params={'state': state, 'limit': 1})).json()['jobs']
            found[name] = jobs[0]['id'] if jobs else 'none'
    return found


async def _converse(browser: Browser, url: str) -> str:
    """Some conversations of one question each, as a person would begin them; the last one's id."""
    page = await browser.new_page()
    page.set_default_timeout(30_000)
    for question in QUESTIONS:
        await page.goto(f'{url}/chat')
        box = page.locator('.composer textarea')
        await box.fill(question)
        await box.press('Enter')
        await page.wait_for_url('**/chat/*')
    conversation = page.url.rpartition('/')[2]
    await page.close()
    return conversation


async def _ended(http: httpx.AsyncClient) -> dict[str, str]:
    done = [await _ask(http, n, {'chars_per_s': 900 + 300 * n, 'length': 400}) for n in range(18)]
    failed = [await _ask(http, n, {'fail': failure}) for n, failure in enumerate(FAILURES)]
    for job in (*done, *failed):
        await http.get(f'/api/jobs/{job}/result', params={'wait': 30})
    return {'done': done[-1], 'failed': failed[0]}


async def _batch(http: httpx.AsyncClient) -> None:
    jobs = [_job(n, {'chars_per_s': 400, 'length': 300}) for n in range(12)]
    asked = {'name': 'Nightly summaries', 'user': USERS[2], 'jobs': jobs}
    (await http.post('/api/batches', json=asked)).raise_for_status()


async def _schedules(http: httpx.AsyncClient) -> None:
    for name, cron, enabled in (('morning-news', '0 7 * * 1-5', True), ('weekly-report', '30 17 * * 5', False)):
        asked = {**_job(0, {}), 'name': name, 'cron': cron, 'timezone': 'Europe/Berlin', 'enabled': enabled}
        (await http.put(f'/api/schedules/{name}', json=asked)).raise_for_status()


async def _alive(http: httpx.AsyncClient) -> None:
    """Some that run for minutes, some that wait behind them, some that nobody can run, one that is put off."""
    for n in range(4):
        await _ask(http, n, {'chars_per_s': 12, 'length': 6000}, priority=10)
    for n in range(9):
        await _ask(http, n, {'chars_per_s': 40, 'length': 2000})
    for n in range(3):
        await _ask(http, n, {}, model='llama3.3:70b')
    await _ask(http, 4, {}, delay_s=600)


async def _ask(http: httpx.AsyncClient, n: int, script: dict[str, Any], **fields: Any) -> str:
    answer = await http.post('/api/jobs', json={**_job(n, script), **fields})
    answer.raise_for_status()
    return str(answer.json()['id'])


def _job(n: int, script: dict[str, Any]) -> dict[str, Any]:
    return {
        'model': 'demo',
        'messages': [{'role': 'user', 'content': QUESTIONS[n % len(QUESTIONS)]}],
        'user': USERS[n % len(USERS)],
        'priority': PRIORITIES[n % len(PRIORITIES)],
        'options': {'demo': script},
    }
