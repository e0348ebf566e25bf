"""A push provider that outlives the server, in threads of the test's process.

It has two doors, one with FCM's answers over HTTP/1.1 and one with those of APNs over HTTP/2
(`tests.kills.apple`), and behind them one mood, and one book of all devices. What it is asked
and what it answers is on record in the order in which the answers were decided. It speaks
no more of either protocol than the server needs; what the vendors would refuse of a request,
`pushd.simulators` knows.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pushd.net.certificates import DevelopmentCA, IssuedCertificate
from pushd.simulators.fcm_errors import FAILURES
from tests.kills.apple import Door

# How it answers who is not dead, and how often in comparison a mood is picked.
MOODS = {
    "well": 4,  # at once
    "slow": 3,  # after some hundredths of a second
    "busy": 2,  # 503
    "quota": 1,  # 429, to come back in a minute
    "torn": 2,  # the connection ends before the answer does, and the push was taken
    "stalled": 1,  # no answer, while it has this mood
    "unknown": 1,  # 401 or 403: the access token holds no longer
    "leaving": 1,  # the connection ends before the request is looked at (HTTP/2: GOAWAY)
    "refused": 1,  # over HTTP/2 the stream is refused, unlooked at; else like "busy"
}
FAILED = {
    "busy": "UNAVAILABLE",
    "quota": "QUOTA_EXCEEDED",
    "unknown": "UNAUTHENTICATED",
    "refused": "UNAVAILABLE",
    "dead": "UNREGISTERED",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to send, and what became of it."""

    token: str
    data: dict[str, Any]
    verdict: str  # "taken", "torn" (and taken), "dead", or a mood that takes nothing


class Provider:
    """The stand-in. `on_request` is called in its threads, with each request, before its answer."""

    def __init__(self, folder: Path) -> None:
        authority = DevelopmentCA(folder, time.time())
        issued = authority.issue(["127.0.0.1"])
        self.ca_file = authority.path
        self._google = _Server(("127.0.0.1", 0), _Handler)
        self._google.provider = self
        self._google.context = _context(issued, "http/1.1")
        self.google_url = f"https://127.0.0.1:{self._google.server_address[1]}"
        self._apple = Door(
            _context(issued, "h2"), self._decide_for_apple, self._when_dead, self._has_answered
        )
        self.apple_url = self._apple.url
        self.on_request: Callable[[], None] = lambda: None
        self.on_answer: Callable[[], None] = lambda: None
        self._lock = threading.Condition()
        self._mood = "well"
        self._asked: list[Asked] = []
        self._dead: dict[str, float] = {}  # since when
        self._known: set[str] = set()  # access tokens
        self._number = 0
        self._threads = [
            threading.Thread(target=door.serve_forever, args=(0.05,))
            for door in (self._google, self._apple)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self.mood = "well"
        for door in (self._google, self._apple):
            door.shutdown()
            door.server_close()
        for thread in self._threads:
            thread.join()

    def forget(self) -> None:
        """Begin anew, for another server."""
        with self._lock:
            self._asked = []
            self._dead.clear()
            self._mood = "well"
            self._lock.notify_all()
        self.on_request = self.on_answer = lambda: None

    @property
    def mood(self) -> str:
        return self._mood

    @mood.setter
    def mood(self, mood: str) -> None:
        with self._lock:
            self._mood = mood
            if mood == "unknown":
                self._known.clear()
            self._lock.notify_all()

    def bury(self, token: str) -> None:
        """Call a device token dead from now on."""
        with self._lock:
            self._dead.setdefault(token, time.time())

    @property
    def asked(self) -> list[Asked]:
        """All requests to send that were answered, or broken off after they were taken."""
        with self._lock:
            return list(self._asked)

    def taken(self, tokens: set[str]) -> list[Asked]:
        """What it took for these device tokens, the oldest first."""
        return [
            one for one in self.asked if one.verdict in ("taken", "torn") and one.token in tokens
        ]

    def has_buried(self, token: str) -> bool:
        """Whether it has told somebody that this device token is dead."""
        return any(one.token == token and one.verdict == "dead" for one in self.asked)

    def new_number(self) -> int:
        """For a publish; greater than all before."""
        self._number += 1
        return self._number

    # In the threads of connections.

    def grant(self) -> str:
        """A new access token."""
        with self._lock:
            token = f"ya29.{len(self._known)}.{time.monotonic_ns()}"
            self._known.add(token)
            return token

    def decide(self, bearer: str | None, token: str, data: dict[str, Any]) -> str:
        """The verdict on a request to send, which is on record from now on."""
        self.on_request()
        with self._lock:
            self._lock.wait_for(lambda: self._mood != "stalled")
            mood = self._mood
        if mood == "slow":
            time.sleep(0.03)
        with self._lock:
            if mood == "leaving":
                verdict = mood
            elif token in self._dead:
                verdict = "dead"
            elif mood == "unknown" or (bearer is not None and bearer not in self._known):
                verdict = "unknown"
            else:
                verdict = mood if mood in FAILED or mood == "torn" else "taken"
            self._asked.append(Asked(token, data, verdict))
            return verdict

    def _decide_for_apple(self, token: str, data: dict[str, Any]) -> str:
        return self.decide(None, token, data)

    def _when_dead(self, token: str) -> float:
        return self._dead.get(token, 0.0)

    def _has_answered(self) -> None:
        self.on_answer()


def _context(issued: IssuedCertificate, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    context.set_alpn_protocols([protocol])
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    provider: Provider
    context: ssl.SSLContext

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: servers are killed while they speak to it."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    disable_nagle_algorithm = True
    wbufsize = -1  # so that an answer is one write
    server: _Server

    def setup(self) -> None:
        self.request.settimeout(60.0)
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        provider = self.server.provider
        if self.path == "/token":
            granted = {"access_token": provider.grant(), "expires_in": 3600, "token_type": "Bearer"}
            self._answer(200, json.dumps(granted).encode())
            return
        message = json.loads(body)["message"]
        bearer = self.headers["authorization"].removeprefix("Bearer ")
        verdict = provider.decide(bearer, message["token"], message.get("data", {}))
        if verdict in ("torn", "leaving"):
            self.close_connection = True
        elif verdict == "taken":
            self._answer(200, json.dumps({"name": "projects/kills/messages/1"}).encode())
        else:
            reply = FAILURES[FAILED[verdict]].reply()
            after = {"Retry-After": "60"} if verdict == "quota" else {}
            self._answer(reply.status, reply.body, **after)
        provider.on_answer()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-type", "application/json; charset=UTF-8")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
