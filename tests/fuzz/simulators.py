"""The ports of the stand-ins: whatever comes, they answer or hang up, and nothing breaks in them.

The first line of an input names a stand-in, and may have `17:3` for "of what is sent, byte 17 is
changed by 3". The rest is sent, with words in double braces for what must be right to get far:
`{{request}}` is a whole request of HTTP/1.1 as the stand-in takes it, `{{h2}}` the same over
HTTP/2; `{{path}}`, `{{headers}}` and `{{body}}` are parts of it.
"""

import json
import re
from random import Random
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.fuzz.watch import Finding, Log
from tests.unit.simulators.every import EVERY, Narrow, Peer, Sent

NAMES = tuple(EVERY)
ROOMS = (
    *("", "requests", "requests?wait=5", "requests?endpoint=tokens", "script", "credentials"),
    *("subscriptions", "states", "secrets", "tokens", "channels", "offline", "devices"),
    *("connections", "keys", "certificates", "nowhere"),
)
VALUES = (
    *('""', "null", "true", "-1", "1e999", "[]", "{}", '"\\ud800"', '"gone"', '"mozilla"', "[5]"),
    *('"phone"', '"stall"', '"endless"', '"cut"', '"goaway"', "204", "599", '"x: y"', "0.5"),
)
KEYS = (
    *("token", "answers", "endpoint", "status", "ending", "delay", "times", "headers", "body"),
    *("service", "name", "vapid", "is", "secrets", "channel", "offline", "dead", "topics", "do"),
    *("error", "retry_after", "lifetime", "code", "team_id", "environments", "count", "on"),
)
HEADERS = (
    *("Content-Length: 0", "Content-Length: -1", "Transfer-Encoding: chunked", "Host: \xff"),
    *("Expect: 100-continue", "TTL: -1", "TTL: 9" + "9" * 30, "Topic: \xe9", "Urgency: high"),
    *("Authorization: vapid t=a.b.c,k=BA", "Authorization: Bearer", "Authorization: \x00"),
    *("X-WNS-Type: wns/toast", "X-WNS-TTL: 0", "Content-Encoding: aes128gcm", "webhook-id: a.b"),
    *("webhook-signature: v1,", "webhook-timestamp: 9999999999999", "Content-Type: text/plain"),
)
TOKENS = tuple(
    word.encode("latin-1")
    for word in (
        *("{{request}}", "{{h2}}", "{{path}}", "{{headers}}", "{{body}}", "\r\n", "\r\n\r\n"),
        *("POST ", "GET ", "DELETE ", " HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "%ff"),
        *(f"{name}\n" for name in NAMES),
        *(f"{header}\r\n" for header in HEADERS),
        *(f"/control/{room}" for room in ROOMS),
        *(f'"{key}":' for key in KEYS),
        *VALUES,
    )
)

_FLIP = re.compile(rb"([0-9]{1,6}):([0-9]{1,3})")
_peers: dict[str, Peer] = {}
_logs: list[Log] = []


def renew() -> None:
    """The next input finds stand-ins that nobody has asked before."""
    _peers.clear()


def write(random: Random) -> bytes:
    name = random.choice(NAMES)
    way = random.random()
    if way < 0.3:
        flips = " ".join(
            f"{random.randrange(700)}:{random.randrange(256)}" for _ in range(random.randrange(4))
        )
        return f"{name} {flips}\n".encode() + random.choice((b"{{request}}", b"{{h2}}"))
    if way < 0.6:
        return f"{name}\n".encode() + _ordered(random)
    lines = [f"{random.choice(('POST', 'GET', 'PUT', 'X'))} {{{{path}}}} HTTP/1.1", "{{headers}}"]
    lines += random.sample(HEADERS, random.randrange(4))
    body = random.choice(("{{body}}", "{}", "\x00" * 90, json.dumps(VALUES), ""))
    text = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", body))
    return f"{name}\n{text}".encode("latin-1", "replace")


def _ordered(random: Random) -> bytes:
    """What /control is told, and a request after it."""
    parts = [f'"{random.choice(KEYS)}": {random.choice(VALUES)}' for _ in range(3)]
    answer = "{" + ", ".join(random.sample(parts, random.randrange(4))) + "}"
    if random.random() < 0.5:
        answer = f'{{"token": null, "answers": [{answer}]}}'
    method = random.choice(("POST", "GET", "DELETE"))
    head = f"{method} /control/{random.choice(ROOMS)} HTTP/1.1\r\nHost: x\r\n"
    return f"{head}Content-Length: {len(answer)}\r\n\r\n{answer}{{{{request}}}}".encode()


def one(data: bytes) -> None:
    if not _logs:
        _logs.append(Log())
    first, _, rest = data.partition(b"\n")
    name = NAMES[len(data) % len(NAMES)]
    for known in NAMES:  # some have a space in them
        if first == known.encode() or first.startswith(known.encode() + b" "):
            name = known
    peer = _peer(name)
    sent = bytearray(_expanded(peer, rest))
    for word in first.split():
        flip = _FLIP.fullmatch(word)
        if flip and int(flip[1]) < len(sent):
            sent[int(flip[1])] ^= int(flip[2]) & 255
    try:
        _play(peer, bytes(sent))
    except BaseException:
        _peers.pop(name)  # what is left in it is no finding of the next input's
        raise


def _play(peer: Peer, sent: bytes) -> None:
    protocol = peer.door.buildProtocol(None)
    transport = Narrow()  # type: ignore[no-untyped-call]
    transport.protocol = protocol
    protocol.makeConnection(transport)
    half = len(sent) // 2
    for part in (sent[:half], sent[half:]):
        if part and transport.connected:
            protocol.dataReceived(part)
            transport.settle()
    peer.clock.advance(0)
    transport.loseConnection()
    transport.settle()
    _logs[0].check()
    simulator = peer.simulator
    for endpoint in simulator.endpoints.values():
        for received in endpoint.record.since():
            json.dumps(received.as_json())
            if repr(received.token)[1:-1] in repr(received) and len(received.token) > 20:
                raise Finding("a token stands in a repr")
    if peer.clock.getDelayedCalls():
        raise Finding(f"timers are left: {peer.clock.getDelayedCalls()}")
    simulator.forget()


def _peer(name: str) -> Peer:
    if name not in _peers:
        _peers[name] = EVERY[name]()
    return _peers[name]


def _expanded(peer: Peer, text: bytes) -> bytes:
    if b"{{" not in text:
        return text
    sent = peer.send("phone")
    parts = urlsplit(sent.url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    length = f"content-length: {len(sent.body)}\r\n"
    request = f"{sent.method} {path} HTTP/1.1\r\nhost: x\r\n{length}{headers}\r\n".encode()
    for word, meaning in (
        (b"{{request}}", request + sent.body),
        (b"{{h2}}", _over_http2(sent, path) if b"{{h2}}" in text else b""),
        (b"{{path}}", path.encode()),
        (b"{{headers}}", headers.strip().encode()),
        (b"{{body}}", sent.body),
    ):
        text = text.replace(word, meaning, 4)  # an input may not grow beyond measure
    return text


def _over_http2(sent: Sent, path: str) -> bytes:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    pseudo = [(":method", sent.method), (":scheme", "https"), (":path", path), (":authority", "x")]
    connection.send_headers(1, [*pseudo, *sent.headers.items()])
    connection.send_data(1, sent.body, end_stream=True)
    return connection.data_to_send()
