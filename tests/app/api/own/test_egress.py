"""Where webhooks may go: every trick that is known to lead such a request home is seen through."""

import asyncio
import contextlib

import pytest

from app.api.own import egress
from app.api.own.post import Failed, Poster, by_dns

PUBLIC = ['93.184.216.34', '1.1.1.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1111', '2a00:1450:4001::1']
HOME = [
    '127.0.0.1', '127.255.255.254', '0.0.0.0', '0.1.2.3', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1',
    '169.254.169.254', '169.254.170.2', '100.64.0.1', '100.100.100.200', '168.63.129.16', '192.0.0.192', '192.0.2.1',
    '192.88.99.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1', '224.0.0.1', '240.0.0.1',
    '255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::ffff:a9fe:a9fe', '::ffff:10.0.0.1', '::127.0.0.1',
    '64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::1', '2002:7f00:1::', '2002:c0a8:101::1', '2001::1',
    '2001:db8::1', 'fe80::1', 'fe80::1%1', 'fec0::1', 'fc00::1', 'fd00:ec2::254', 'ff02::1', '100::1', '3fff::1',
    '5f00::1', '2606:4700::5efe:7f00:1', '2606:4700::200:5efe:a00:1', '::ffff:0:127.0.0.1', 'nonsense', '',
]  # fmt: skip


@pytest.mark.parametrize('address', PUBLIC)
def test_the_world_is_allowed(address):
    assert egress.is_allowed(address)


def test_a_public_address_behind_nat64_is_allowed():
    assert egress.is_allowed('64:ff9b::5db8:d822') and egress.is_allowed('::ffff:93.184.216.34')


@pytest.mark.parametrize('address', HOME)
def test_home_is_not_allowed(address):
    assert not egress.is_allowed(address)


def test_a_network_that_is_named_is_allowed_and_no_other():
    also = egress.networks(['192.168.0.0/16', 'fd00::/8'])
    assert egress.is_allowed('192.168.7.7', also) and egress.is_allowed('::ffff:192.168.7.7', also)
    assert egress.is_allowed('fd00::1', also)
    assert not egress.is_allowed('127.0.0.1', also) and not egress.is_allowed('169.254.169.254', also)


@contextlib.asynccontextmanager
async def listening(serve):
    """A server that is gone at the end, with all that it began."""
    tasks = []

    async def kept(reader, writer):
        tasks.append(asyncio.current_task())
        try:
            await serve(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async with await asyncio.start_server(kept, '127.0.0.1', 0) as server:
        yield server
        await asyncio.gather(*tasks)


# All of these lead to this machine, to its network or to a cloud's metadata in some program.
TRICKS = [
    'http://127.0.0.1/', 'http://127.1/', 'http://127.0.1/', 'http://2130706433/', 'http://0x7f000001/',
    'http://0x7f.0.0.1/', 'http://0177.0.0.1/', 'http://00000177.0.0.1/', 'http://017700000001/', 'http://0/',
    'http://127.0.0.1./', 'http://[::1]/', 'http://[::]/', 'http://[::ffff:127.0.0.1]/', 'http://[0:0:0:0:0:ffff:7f00:1]/',
    'http://[::127.0.0.1]/', 'http://[64:ff9b::127.0.0.1]/', 'http://[2002:7f00:1::]/', 'http://[fe80::1%25eth0]/',
    'http://169.254.169.254/latest/meta-data/', 'http://2852039166/', 'http://0xa9fea9fe/', 'http://0251.0376.0251.0376/',
    'http://[::ffff:a9fe:a9fe]/', 'http://[fd00:ec2::254]/', 'http://100.100.100.200/', 'http://168.63.129.16/',
    'http://192.168.0.1/', 'http://10.1.2.3:8080/', 'http://localhost/', 'http://LOCALHOST:11434/api/pull',
    'http://a.localhost/', 'http://①②⑦.⓪.⓪.①/', 'http://１２７.0.0.1/', 'http://127。0。0。1/', 'http://ⓛocalhost/',
    'http://example.org@127.0.0.1/', 'http://127.0.0.1#@example.org/', 'http://example.org\\@127.0.0.1/',
    'http://127.0.0.1\\.example.org/', 'http:127.0.0.1', 'http:/127.0.0.1/', 'http:///127.0.0.1/', '//127.0.0.1/',
    'HTTP://127.0.0.1/', ' http://127.0.0.1/', 'http://127.0.0.1\t/', 'http://127.0.0.1\r\nHost: x/', 'http://%31%32%37.0.0.1/',
    'file:///etc/passwd', 'gopher://127.0.0.1:6379/_x', 'ftp://127.0.0.1/', 'unix:///run/x', 'javascript:alert(1)',
    'http://', 'https://', 'http://:80/', 'http://example.org:0/', 'http://example.org:99999/', 'http://example.org:x/',
    'http://[::1', 'http://exa mple.org/', 'http://-/', 'http://..../', f'http://example.org/{"x" * 2000}', '',
]  # fmt: skip


@pytest.mark.parametrize('url', TRICKS)
async def test_no_trick_gets_a_request_out(url, monkeypatch):
    """With the resolver of the system, since that is what reads a number as an address."""

    async def home_only(host: str, port: int) -> list[str]:
        found = await by_dns(host, port) if host != 'example.org' else ['127.0.0.1']
        return found

    async def trap(*args: object, **named: object) -> None:
        raise AssertionError(f'a connection to {args}')

    monkeypatch.setattr(asyncio, 'open_connection', trap)
    with pytest.raises(Failed):
        await Poster(timeout_s=5, resolve=home_only).post(url, {}, b'{}', 0.0)


@pytest.mark.parametrize(
    ('url', 'parts'),
    [
        ('https://example.org', (True, 'example.org', 443, '/', 'example.org')),
        ('http://Example.ORG:8080/a/b?c=d', (False, 'example.org', 8080, '/a/b?c=d', 'example.org:8080')),
        ('https://[2606:4700::1111]:444/', (True, '2606:4700::1111', 444, '/', '[2606:4700::1111]:444')),
        ('http://xn--bcher-kva.example/', (False, 'xn--bcher-kva.example', 80, '/', 'xn--bcher-kva.example')),
    ],
)
def test_a_sound_url_is_taken_apart(url, parts):
    target = egress.target(url)
    assert (*target, target.authority) == parts


async def test_a_name_that_leads_home_at_the_second_look_is_refused_at_the_second_look():
    looks = [['93.184.216.34'], ['127.0.0.1']]

    async def rebinding(host: str, port: int) -> list[str]:
        return looks.pop(0)

    poster = Poster(resolve=rebinding)
    target = egress.target('http://rebind.example/')
    assert await poster.addresses(target) == ['93.184.216.34']
    with pytest.raises(Failed) as refused:
        await poster.post('http://rebind.example/', {}, b'{}', 0.0)
    assert refused.value.refused and looks == []


async def test_one_address_at_home_among_others_is_enough_to_refuse():
    async def both(host: str, port: int) -> list[str]:
        return ['93.184.216.34', '10.0.0.1']

    with pytest.raises(Failed) as refused:
        await Poster(resolve=both).addresses(egress.target('http://both.example/'))
    assert refused.value.refused and '10.0.0.1' in str(refused.value)


async def test_the_connection_goes_to_the_address_that_was_judged_with_the_name_as_host():
    heard = asyncio.get_running_loop().create_future()

    async def serve(reader, writer):
        heard.set_result(await reader.readuntil(b'\r\n\r\n'))
        writer.write(b'HTTP/1.1 204 No Content\r\n\r\n')

    looks = []

    async def named(host: str, port: int) -> list[str]:
        looks.append(host)
        return ['127.0.0.1']

    async with listening(serve) as server:
        port = server.sockets[0].getsockname()[1]
        poster = Poster(egress.networks(['127.0.0.0/8']), resolve=named)
        answer = await poster.post(f'http://hook.example:{port}/x?y', {'A': 'b'}, b'{}', 0.0)
    head = (await heard).decode().lower()
    assert answer.status == 204 and answer.good and looks == ['hook.example']
    assert head.startswith('post /x?y http/1.1\r\n') and f'host: hook.example:{port}\r\n' in head and 'a: b\r\n' in head


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        (b'HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n', (302, 0.0)),
        (b'HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n', (503, 7.0)),
        (b'HTTP/1.1 429 No\r\nRetry-After: Thu, 01 Jan 1970 00:01:40 GMT\r\nContent-Length: 0\r\n\r\n', (429, 90.0)),
        (b'HTTP/1.1 429 No\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n', (429, 0.0)),
        (b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nthanks', (200, 0.0)),
        (b'HTTP/1.1 200 OK\r\n\r\n' + b'x' * 10_000_000, (200, 0.0)),
        (b'', None),
        (b'SSH-2.0-OpenSSH_9.2\r\n', None),
        (b'HTTP/1.1 200 OK\r\nX: ' + b'x' * 100_000, None),
    ],
    ids=lambda value: str(value)[:70],  # a name of ten million characters would be sent about with each result
)
async def test_answers_are_read_with_little_trust(said, told):
    async def serve(reader, writer):
        await reader.readuntil(b'\r\n\r\n')
        try:
            writer.write(said)
            await writer.drain()
        except ConnectionError:
            pass

    async with listening(serve) as server:
        url = f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}/'
        post = Poster(egress.networks(['127.0.0.1/32']), timeout_s=5).post(url, {}, b'{}', 10.0)
        if told is None:
            with pytest.raises(Failed):
                await post
        else:
            answer = await post
            assert (answer.status, answer.retry_after_s) == told and len(answer.text) <= 1000


async def test_a_receiver_that_says_nothing_is_left_after_a_while():
    async def serve(reader, writer):
        await reader.read()

    async with listening(serve) as server:
        url = f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}/'
        with pytest.raises(Failed, match=r'within 0\.2 s'):
            await Poster(egress.networks(['127.0.0.1/32']), timeout_s=0.2).post(url, {}, b'{}', 0.0)
