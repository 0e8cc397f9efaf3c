"""Which pages may use the APIs from a browser."""

import pytest

from app.origins import Origins


@pytest.mark.parametrize(
    'origin',
    [
        'http://localhost',
        'https://localhost:3000',
        'http://127.0.0.1:5173',
        'http://0.0.0.0:8000',
        'app://obsidian.md',
        'tauri://localhost',
        'vscode-webview://abc',
        'chrome-extension://abc',
        'file://',
    ],
)
def test_what_ollama_lets_in_may_call(origin):
    assert Origins().allows(origin)


@pytest.mark.parametrize(
    'origin',
    [
        'http://evil.example',
        'https://localhost.evil.example',
        'http://localhost@evil.example',
        'http://evil.example#localhost',
        'http://user@localhost',
        'null',
        '',
        'http://[',
        'ftp://localhost',
        'javascript://localhost',
        '*',
    ],
)
def test_others_may_not(origin):
    assert not Origins().allows(origin)


def test_the_settings_may_name_more_or_all():
    assert Origins(['https://desk.lan/']).allows('https://Desk.lan')
    assert not Origins(['https://desk.lan']).allows('https://other.lan')
    assert Origins(['*']).allows('http://evil.example')


def test_where_a_page_has_to_be_named_ollamas_list_does_not_count():
    origins = Origins(['https://desk.lan'])
    assert origins.allows('https://desk.lan', by_name=True)
    assert not origins.allows('http://localhost:3000', by_name=True)
    assert not origins.allows('chrome-extension://abc', by_name=True)
