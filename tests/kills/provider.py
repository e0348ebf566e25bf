"""A push provider that outlives the server: FCM's answers, in threads of the test's process.

What it is asked and what it answers is on record in the order in which the answers were
decided. It speaks HTTP/1.1 over TLS and no more of FCM than the server needs; what FCM
would refuse of a request, `pushd.simulators` knows.
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

from pushd.net.certificates import DevelopmentCA
from pushd.simulators.fcm_errors import FAILURES

# How it answers who is not dead, and how often in comparison a mood is picked.
MOODS = {
    "well": 4,  # at once
    "slow": 3,  # after some hundredths of a second
    "busy": 2,  # 503
    "quota": 1,  # 429, to come back in a minute
    "torn": 2,  # the connection ends before the answer does, and the push was taken
    "stalled": 1,  # no answer, while it has this mood
    "unknown": 1,  # 401: the access token holds no longer
}
FAILED = {"busy": "UNAVAILABLE", "quota": "QUOTA_EXCEEDED", "unknown": "UNAUTHENTICATED"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to send, and what became of it."""

    token: str
    data: dict[str, str]
    verdict: str  # "taken", "dead", or a mood that takes nothing


class Provider:
    """The stand-in. `on_request` is called in its threads, with each request, before its answer."""

    def __init__(self, folder: Path) -> None:
        authority = DevelopmentCA(folder, time.time())
        issued = authority.issue(["127.0.0.1"])
        self.ca_file = authority.path
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.certificate, issued.key)
        context.set_alpn_protocols(["http/1.1"])
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.provider = self
        self._server.context = context
        self.base_url = f"https://127.0.0.1:{self._server.server_address[1]}"
        self.on_request: Callable[[], None] = lambda: None
        self.on_answer: Callable[[], None] = lambda: None
        self._lock = threading.Condition()
        self._mood = "well"
        self._asked: list[Asked] = []
        self._dead: set[str] = set()
        self._known: set[str] = set()  # access tokens
        self._number = 0
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.mood = "well"
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

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
            self._dead.add(token)

    @property
    def asked(self) -> list[Asked]:
        """All requests to send that were answered, or broken off after they were taken."""
        with self._lock:
            return list(self._asked)

    def taken(self, tokens: set[str]) -> list[Asked]:
        """What it took for these device tokens, the oldest first."""
        return [one for one in self.asked if one.verdict == "taken" and one.token in tokens]

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

    def decide(self, bearer: str, token: str, data: dict[str, str]) -> str:
        """The verdict on a request to send, which is on record from now on."""
        with self._lock:
            self._lock.wait_for(lambda: self._mood != "stalled")
            mood = self._mood
        if mood == "slow":
            time.sleep(0.03)
        with self._lock:
            if token in self._dead:
                verdict = "dead"
            elif mood == "unknown" or bearer not in self._known:
                verdict = "unknown"
            else:
                verdict = mood if mood in FAILED else "taken"
            self._asked.append(Asked(token, data, verdict))
            return verdict


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
        self.request.settimeout(10.0)
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
        provider.on_request()
        message = json.loads(body)["message"]
        bearer = self.headers["authorization"].removeprefix("Bearer ")
        torn = provider.mood == "torn"
        verdict = provider.decide(bearer, message["token"], message.get("data", {}))
        if torn:
            self.close_connection = True
        elif verdict == "taken":
            self._answer(200, json.dumps({"name": "projects/kills/messages/1"}).encode())
        else:
            reply = FAILURES[FAILED.get(verdict, "UNREGISTERED")].reply()
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
