"""A stand-in for the Apple Push Notification service, over HTTP/2.

Read from Apple's "Sending notification requests to APNs" and its neighbours. It makes up a
team with a signing key, and client certificates on demand, so that a provider can be set up
against it with nothing from the vendor. Production and sandbox are two ports, or one port
and two host names. It is stricter than Apple in one thing: a date of expiry in the past and a
push type that the payload belies are refused, which Apple drops in silence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from pushd.simulators import apns_push
from pushd.simulators.answers import Answer
from pushd.simulators.apns_certificates import ClientCertificate, Identity, Issuer
from pushd.simulators.apns_connections import Connections, Visit
from pushd.simulators.apns_control import HELP, Rooms
from pushd.simulators.apns_devices import Devices
from pushd.simulators.apns_push import Push
from pushd.simulators.apns_reasons import REASONS, Refused, Said
from pushd.simulators.apns_tokens import ENVIRONMENTS, PRODUCTION, SANDBOX, Key, Verifier
from pushd.simulators.base import LIMIT, Act, Endpoint, Received, Simulator
from pushd.simulators.control import Control, Root
from pushd.simulators.http2 import Connection, Stream
from pushd.simulators.http2_web import Channel, Door
from pushd.simulators.web import QuietSite, Replies, Reply

SANDBOX_NAMES = ("sandbox.", "api.sandbox.", "api.development.")  # hosts of it, on one port


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedPush(Received):
    """A request to /3/device. `expiration` is in seconds since the epoch, None where absent.

    `connection` counts connections from 1, `stream` is HTTP/2's own number. `remarks` are
    what Apple frowns at but takes.
    """

    environment: str
    topic: str
    push_type: str
    priority: int
    expiration: int | None
    collapse_id: str
    id: str  # the apns-id of the answer
    connection: int
    stream: int
    remarks: tuple[str, ...] = ()


class APNsSimulator(Simulator[ReceivedPush]):
    """The stand-in. `door(environment)` is to be put on a port, and `base_url` and
    `sandbox_url` to say where those are.

    `topics` are the team's apps, empty for any. A `key` is made up unless one is given.
    """

    type = "apns"
    vendor = "the Apple Push Notification service"
    states_known = ("Unregistered", "ExpiredToken", "BadDeviceToken", "DeviceTokenNotForTopic")

    def __init__(
        self,
        clock: IReactorTime,
        base_url: str = "",
        sandbox_url: str = "",
        *,
        topics: Iterable[str] = (),
        key: Key | None = None,
        limit: int = LIMIT,
    ) -> None:
        messages: Endpoint[ReceivedPush] = Endpoint(clock, REASONS, limit)
        super().__init__(clock, base_url, messages)
        self.sandbox_url = sandbox_url
        self.topics = frozenset(topics)
        self.key = key or Key.made_up()
        self.verifier = Verifier()
        self.add_key(self.key)
        self.devices = Devices()
        self.connections = Connections(clock)
        self._issuer: Issuer | None = None
        self._replies = Replies(clock)

    def door(self, environment: str = "") -> Door:
        """What to put on a port, for one environment, or for both by the host's name."""
        root = Root(Control(self, self._replies), _Vendor(self, self._replies, environment))
        return Door(QuietSite(root, self.clock), _Owner(self, root, environment))

    # Credentials.

    def add_key(self, key: Key) -> None:
        """Let a key sign provider tokens."""
        self.verifier.keys[key.id] = key

    def revoke(self, key_id: str) -> None:
        """Let a key sign no more."""
        self.verifier.keys.pop(key_id, None)

    @property
    def issuer(self) -> Issuer:
        """The authority for client certificates."""
        if self._issuer is None:
            self._issuer = Issuer(self.clock.seconds())
        return self._issuer

    def issue(self, *topics: str, environments: Iterable[str] = ENVIRONMENTS) -> ClientCertificate:
        """A client certificate for these topics."""
        return self.issuer.issue(topics, tuple(environments))

    def credentials(self) -> Mapping[str, str]:
        return self.key.as_file()

    # What /control shows.

    def about(self) -> Mapping[str, Any]:
        return {
            "production": self.base_url,
            "sandbox": self.sandbox_url,
            "team_id": self.key.team,
            "key_id": self.key.id,
            "topics": sorted(self.topics),
            **HELP,
        }

    def rooms(self) -> Mapping[str, Mapping[str, Act]]:
        return Rooms(self).all()

    def forget(self) -> None:
        super().forget()
        self.devices.clear()
        self.connections.clear()

    def close(self) -> None:
        """Send away whoever waits, and break off every connection."""
        super().close()
        self._replies.close()
        self.connections.close()

    # One notification.

    def take_in(self, request: Request, stream: Stream, environment: str) -> None:
        """Answer a request to send a notification."""
        now = self.clock.seconds()
        visit: Visit = stream.connection.state
        visit.requests += 1
        push = Push()
        answer: Answer | None = None
        by = ""
        refused: Refused | None = None
        try:
            by = self._check(push, stream, environment, now)
            answer, reason = self.due(push.token)
            if reason:
                refused = Refused(reason, now if REASONS[reason] == 410 else None)
        except Refused as wrong:
            refused = wrong
        said = Said(push.id or str(uuid4()))
        if refused is None:
            reply = said.accepted(str(uuid4()) if environment == SANDBOX else "")
        else:
            status = answer.status if answer is not None else None
            reply = said.refused(refused.reason, refused.dead_since, status)
        reply = reply.as_scripted(answer)
        # The answer goes out first: whoever waits for the request finds it under way.
        sent = self._replies.send(request, reply, answer)
        self.received(
            self.messages,
            ReceivedPush(
                at=now,
                token=push.token,
                message=push.message,
                authorized_by=by,
                status=reply.status_seen(answer),
                error=refused.reason if refused else "",
                environment=environment,
                topic=push.topic,
                push_type=push.push_type,
                priority=push.priority,
                expiration=push.expiration,
                collapse_id=push.collapse_id,
                id=said.id,
                connection=visit.number,
                stream=stream.number,
                remarks=tuple(push.remarks),
            ),
            sent,
        )

    def _check(self, push: Push, stream: Stream, environment: str, now: float) -> str:
        """All that Apple checks; gives who pushes. Raises Refused."""
        if stream.header(b":method") != b"POST":
            raise Refused("MethodNotAllowed")
        given = apns_push.token_in(stream.header(b":path").decode("ascii", "replace"))
        push.token = given.lower()
        headers = apns_push.once(stream.headers)
        key, identity = self._authorize(stream, headers, environment, now)
        self.connections.welcome(stream.connection, stream.connection.state)
        _remark_indexing(push, stream)
        apns_push.read_headers(push, headers, now)
        self._check_topic(push, key, identity)
        apns_push.read_payload(push, stream.body)
        if given != given.lower():
            push.remarks.append("the token is not in lower case")
        push.token = apns_push.check_token(given)
        self.devices.check(push.token, environment, push.topic)
        return f"{key.team}/{key.id}" if key else identity.name if identity else ""

    def _authorize(
        self, stream: Stream, headers: Mapping[str, str], environment: str, now: float
    ) -> tuple[Key | None, Identity | None]:
        """By a client certificate where there is one, and else by a provider token."""
        visit: Visit = stream.connection.state
        if visit.certificate is not None:
            return None, self.issuer.identify(visit.certificate, environment, now)
        bearer = self.verifier.check(headers.get("authorization", ""), now)
        visit.changes.see(headers["authorization"], bearer, now)
        if bearer.key.environments and environment not in bearer.key.environments:
            raise Refused("BadEnvironmentKeyIdInToken")
        return bearer.key, None

    def _check_topic(self, push: Push, key: Key | None, identity: Identity | None) -> None:
        allowed = self.topics if key is not None else frozenset(identity.topics if identity else ())
        if not push.topic:
            if identity is None or len(identity.topics) != 1:
                raise Refused("MissingTopic")
            push.topic = identity.topics[0]
        if identity is not None and push.push_type == "liveactivity":
            raise Refused("MissingProviderToken")  # certificates are not for these
        if key is not None and key.topics and push.topic not in key.topics:
            raise Refused("TopicDisallowed")
        if allowed and _bundle(push) not in allowed and push.topic not in allowed:
            raise Refused("TopicDisallowed")
        apns_push.check_topic(push)


def _bundle(push: Push) -> str:
    """The bundle id that a topic belongs to."""
    return push.topic.removesuffix(apns_push.SUFFIXES.get(push.push_type, ""))


def _remark_indexing(push: Push, stream: Stream) -> None:
    """Apple wants what differs from request to request kept out of HPACK's table."""
    for pair in stream.headers:
        if pair[0] in (b":path", b"authorization") and getattr(pair, "indexable", False):
            push.remarks.append(f"{bytes(pair[0]).decode()} may be indexed")


class _Owner:
    """What comes over HTTP/2 on one port."""

    def __init__(self, simulator: APNsSimulator, root: Root, environment: str) -> None:
        self._simulator = simulator
        self._environment = environment
        self._site = QuietSite(root, simulator.clock)

    def opened(self, connection: Connection) -> int:
        simulator = self._simulator
        connections = simulator.connections
        visit = Visit(connections.next_number(), self._environment, simulator.clock.seconds())
        visit.certificate = _certificate_of(connection)
        connection.state = visit
        if visit.certificate is not None:
            visit.streams, visit.is_welcome = connections.streams, True
        connections.opened(connection, visit)
        return visit.streams

    def requested(self, stream: Stream) -> None:
        if stream.header(b":path").startswith(b"/control"):
            stream.connection.state.is_control = True
        Channel(stream, self._site).begin()

    def closed(self, connection: Connection, reason: str) -> None:
        self._simulator.connections.closed(connection, reason)

    def noted(self, connection: Connection, remark: str) -> None:
        connection.state.remark(remark)


def _certificate_of(connection: Connection) -> Any:
    """The client's certificate, None where it showed none or there is no TLS."""
    found = getattr(connection.transport, "getPeerCertificate", lambda: None)()
    return None if found is None else found.to_cryptography()


class _Vendor(Resource):
    """Apple's paths."""

    isLeaf = True

    def __init__(self, simulator: APNsSimulator, replies: Replies, environment: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._simulator = simulator
        self._replies = replies
        self._environment = environment

    def render(self, request: Request) -> int:
        channel = request.channel
        if isinstance(channel, Channel):
            environment = self._environment or _by_name(channel.stream)
            self._simulator.take_in(request, channel.stream, environment)
        else:
            self._replies.send(request, Reply.page(505, "APNs speaks HTTP/2."))
        return NOT_DONE_YET


def _by_name(stream: Stream) -> str:
    authority = stream.header(b":authority").decode("ascii", "replace").lower()
    return SANDBOX if authority.startswith(SANDBOX_NAMES) else PRODUCTION
