"""/control: what a stand-in received and how it is told to answer, over HTTP.

`HELP` lists what there is. Bodies are JSON both ways, and a mistake is answered 400 with
what is wrong. Whoever reaches the port may do all this: a stand-in holds nothing that was
not made up for it.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators.answers import Answer, Ending, ScriptError
from pushd.simulators.base import Act, Endpoint, Simulator
from pushd.simulators.web import Replies, Reply, length_of

MAX_SCRIPT = 1_048_576  # bytes of a script
MAX_WAIT = 300.0  # seconds

HELP = (
    "GET /control: this page",
    "GET /control/requests: the notifications received; ?token= of these, ?since= after this "
    "number, ?wait= up to so many seconds until there is one, ?endpoint= another than messages",
    "DELETE /control/requests: forget them; ?endpoint=",
    'POST /control/script: {"token": text or null for any, "answers": [an answer, ...], '
    '"endpoint": "messages" when absent}',
    "GET /control/script: what is still due",
    "DELETE /control/script: forget it",
    'POST /control/states: {"token": text, "is": one of the states, or ""}: what a token has '
    "come to; GET lists them",
    "GET /control/credentials: what to sign in with here, in the vendor's own form",
)
ANSWER = {
    "error": "by the vendor's name; it brings its own status",
    "status": "another HTTP status; one that refuses, without an error: a page without JSON",
    "retry_after": "Retry-After as seconds",
    "retry_after_date": "Retry-After as a date, so many seconds from now",
    "headers": "an object of further headers",
    "body": "another body",
    "delay": "seconds before anything is sent",
    "ending": ", ".join(Ending),
    "code": "of the RST_STREAM of reset, or of the GOAWAY of goaway and last (HTTP/2)",
    "times": "how often; null: always; 1 when absent",
    "lifetime": "seconds, of the access token that a token endpoint hands out",
}

_Endpoint = Endpoint[Any]


class _Mistake(Exception):
    """What is wrong with a request, in words."""


class Root(Resource):
    """The paths of a stand-in: /control, and all others, which are the vendor's."""

    def __init__(self, control: "Control", vendor: IResource) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"control", control)
        self._vendor = vendor

    def getChild(self, path: bytes, request: Request) -> IResource:
        return self._vendor


class Control(Resource):
    """The /control resource of a stand-in."""

    isLeaf = True

    def __init__(self, simulator: Simulator[Any], replies: Replies) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator
        self._replies = replies
        self._rooms: dict[str, dict[str, Callable[[Request], Reply | Deferred[Reply]]]] = {
            "": {"GET": self._about},
            "requests": {"GET": self._requests, "DELETE": self._forget_requests},
            "script": {"GET": self._script, "POST": self._add, "DELETE": self._forget_script},
            "credentials": {"GET": self._credentials},
            "states": {"GET": self._states, "POST": self._set_state},
        }
        for name, methods in simulator.rooms().items():
            self._rooms[name] = {method: _room(act) for method, act in methods.items()}

    def render(self, request: Request) -> int:
        name = b"/".join(request.postpath or ()).decode("utf-8", "replace").rstrip("/")
        methods = self._rooms.get(name)
        method = request.method.decode("ascii", "replace")
        if methods is None:
            reply: Reply | Deferred[Reply] = _wrong(404, f"there is no /control/{name}")
        elif method not in methods:
            allowed = ", ".join(methods)
            reply = _wrong(405, f"{method} is not for this; {allowed} would be", Allow=allowed)
        else:
            try:
                reply = methods[method](request)
            except (_Mistake, ScriptError) as mistake:
                reply = _wrong(400, str(mistake))
        if isinstance(reply, Deferred):
            self._send_later(request, reply)
        else:
            self._replies.send(request, reply)
        return NOT_DONE_YET

    def _send_later(self, request: Request, waiting: Deferred[Reply]) -> None:
        def client_left(_: Failure) -> None:
            waiting.cancel()

        def cancelled(failure: Failure) -> None:
            failure.trap(CancelledError)
            request.loseConnection()  # we are closing, or the client is gone anyway

        request.notifyFinish().addErrback(client_left)
        waiting.addCallback(lambda reply: self._replies.send(request, reply))
        waiting.addErrback(cancelled)

    def _about(self, request: Request) -> Reply:
        simulator = self._simulator
        return Reply.json(
            200,
            {
                "simulator": simulator.type,
                "what": f"A stand-in for {simulator.vendor}. It delivers nothing to anyone.",
                "url": simulator.base_url,
                **simulator.about(),
                "endpoints": {
                    name: {
                        "received": endpoint.record.last,
                        "kept": len(endpoint.record.since()),
                        "errors": endpoint.script.errors,
                    }
                    for name, endpoint in simulator.endpoints.items()
                },
                "states": simulator.states_known,
                "answer": ANSWER,
                "control": HELP,
            },
        )

    def _requests(self, request: Request) -> Reply | Deferred[Reply]:
        query = _query(request, "token", "since", "wait", "endpoint")
        endpoint = self._endpoint(query.get("endpoint", "messages"))
        token = query.get("token")
        since = _number(query, "since", int, math.inf)
        wait = _number(query, "wait", float, MAX_WAIT)
        if wait and not endpoint.record.since(int(since), token):
            return Deferred.fromCoroutine(self._wait(endpoint, int(since), token, wait))
        return _listing(endpoint, int(since), token)

    async def _wait(self, endpoint: _Endpoint, since: int, token: str | None, wait: float) -> Reply:
        until = self._simulator.clock.seconds() + wait
        while not endpoint.record.since(since, token):
            if not await endpoint.record.arrival(until - self._simulator.clock.seconds()):
                break
        return _listing(endpoint, since, token)

    def _forget_requests(self, request: Request) -> Reply:
        query = _query(request, "endpoint")
        endpoint = self._endpoint(query.get("endpoint", "messages"))
        return Reply.json(200, {"forgotten": endpoint.record.clear()})

    def _script(self, request: Request) -> Reply:
        _query(request)
        due = {
            name: [
                {"token": token, "answers": [answer.as_json() for answer in answers]}
                for token, answers in endpoint.script.waiting()
            ]
            for name, endpoint in self._simulator.endpoints.items()
        }
        return Reply.json(200, due)

    def _add(self, request: Request) -> Reply:
        _query(request)
        order = _body(request)
        for name in order:
            if name not in ("token", "answers", "endpoint"):
                raise _Mistake(f"a script has token, answers and endpoint, but no {name!r}")
        token = order.get("token")
        answers = order.get("answers")
        if token is not None and not isinstance(token, str):
            raise _Mistake(f"token must be text, or absent for any token, not {token!r}")
        if not isinstance(answers, list) or not answers:
            raise _Mistake("answers must be a list with at least one answer")
        endpoint = self._endpoint(order.get("endpoint", "messages"))
        endpoint.script.add(token, [Answer.from_json(answer) for answer in answers])
        return Reply.json(200, {"scripted": len(answers)})

    def _forget_script(self, request: Request) -> Reply:
        _query(request)
        for endpoint in self._simulator.endpoints.values():
            endpoint.script.clear()
        return Reply.json(200, {})

    def _states(self, request: Request) -> Reply:
        _query(request)
        return Reply.json(200, {"states": self._simulator.states})

    def _set_state(self, request: Request) -> Reply:
        _query(request)
        order = _body(request)
        token, state = order.get("token"), order.get("is")
        if not isinstance(token, str) or not isinstance(state, str) or len(order) != 2:
            raise _Mistake("this takes a token, and what it is, both as text")
        self._simulator.set_state(token, state)
        return Reply.json(200, {"states": self._simulator.states})

    def _credentials(self, request: Request) -> Reply:
        _query(request)
        credentials = self._simulator.credentials()
        if credentials is None:
            return _wrong(404, f"{self._simulator.vendor} wants no credentials")
        return Reply.json(200, dict(credentials))

    def _endpoint(self, name: object) -> _Endpoint:
        endpoints: Mapping[str, _Endpoint] = self._simulator.endpoints
        if not isinstance(name, str) or name not in endpoints:
            raise _Mistake(f"there is no endpoint {name!r}; there are {', '.join(endpoints)}")
        return endpoints[name]


def _room(act: Act) -> Callable[[Request], Reply]:
    """A room of the simulator's own, by request and reply."""

    def answer(request: Request) -> Reply:
        _query(request)
        return Reply.json(200, act(_body(request) if length_of(request) else {}))

    return answer


def _wrong(status: int, text: str, **headers: str) -> Reply:
    return Reply.json(status, {"error": text}, **headers)


def _listing(endpoint: _Endpoint, since: int, token: str | None) -> Reply:
    record = endpoint.record
    found = [received.as_json() for received in record.since(since, token)]
    return Reply.json(200, {"requests": found, "last": record.last}, Cache_Control="no-store")


def _query(request: Request, *known: str) -> dict[str, str]:
    # Not request.args, which takes a posted form for a query, and curl posts as a form.
    _, _, text = request.uri.decode("utf-8", "replace").partition("?")
    query: dict[str, str] = {}
    for name, values in parse_qs(text, keep_blank_values=True).items():
        if name not in known:
            takes = f"this takes {', '.join(known)}" if known else "this takes none"
            raise _Mistake(f"unknown parameter {name!r}; {takes}")
        if len(values) > 1:
            raise _Mistake(f"{name} is there {len(values)} times")
        query[name] = values[0]
    return query


def _number(query: Mapping[str, str], name: str, kind: type[int | float], most: float) -> float:
    text = query.get(name, "0")
    try:
        number = kind(text)
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        what = "a whole number of 0 or more" if kind is int else f"0 to {most:g} seconds"
        raise _Mistake(f"{name} must be {what}, not {text!r}")
    return number


def _body(request: Request) -> dict[str, Any]:
    data = request.content.read(MAX_SCRIPT + 1) if request.content else b""
    if len(data) > MAX_SCRIPT:
        raise _Mistake(f"a script has {MAX_SCRIPT} bytes at most")
    try:
        order = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Mistake(f"the body is not JSON: {error}") from None
    if not isinstance(order, dict):
        raise _Mistake("the body must be a JSON object")
    return order
