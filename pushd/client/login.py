"""A client's way in: the stream header, STARTTLS, SASL (RFC 6120 §4 to §6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pushd.client.connection import Connection
from pushd.client.errors import ConnectFailed, Disconnected, LoginFailed
from pushd.wire.element import Element, child, children, element, escape, serialize, text
from pushd.wire.framer import StreamOpened
from pushd.wire.jid import JID
from pushd.wire.namespaces import NS_CLIENT, NS_SASL, NS_STREAMS, NS_TLS
from pushd.wire.sasl import SCRAM, SASLFailure, ScramClient, decode, encode
from pushd.wire.secret import Secret

NS_CHANNEL_BINDING = "urn:xmpp:sasl-cb:0"
CHANNEL_BINDINGS = ("tls-exporter", "tls-server-end-point")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in, and how.

    `mechanism` is the one of SASL to use; if empty, the best SCRAM that is offered, or
    PLAIN under TLS where there is no SCRAM. `plaintext` allows all that without TLS.
    """

    jid: JID
    password: Secret
    mechanism: str = ""
    plaintext: bool = False


@dataclass(frozen=True, slots=True)
class Welcome:
    """A login that succeeded: the mechanism that was used, and the features offered then."""

    mechanism: str
    features: Element


async def log_in(connection: Connection, who: Credentials, tls: Any) -> Welcome:
    """From a fresh connection to the features of an authenticated stream.

    `tls` has the options for STARTTLS. Raises ConnectFailed where there is no TLS to be
    had, LoginFailed, and Disconnected.
    """
    try:
        features = await _greet(connection, who.jid.domain)
    except Disconnected as error:
        raise _no_stream(connection, error) from None
    if not connection.is_secure:
        features = await _secured(connection, who, features, tls)
    connection.is_hushed = True
    try:
        mechanism = await _authenticate(connection, who, features)
    finally:
        connection.is_hushed = False
    connection.restart()
    return Welcome(mechanism, await _greet(connection, who.jid.domain))


async def _greet(connection: Connection, domain: str) -> Element:
    """Open a stream; gives the features that the server offers."""
    connection.send(
        f"<?xml version='1.0'?><stream:stream to='{escape(domain)}' version='1.0' xml:lang='en'"
        f" xmlns='{NS_CLIENT}' xmlns:stream='{NS_STREAMS}'>".encode()
    )
    header = await connection.next()
    if not isinstance(header, StreamOpened):
        raise Disconnected("bad-format", "there is no stream header")
    return await _expect(connection, NS_STREAMS, "features")


async def _secured(
    connection: Connection, who: Credentials, features: Element, tls: Any
) -> Element:
    """Go on under TLS, if the server can (RFC 6120 §5)."""
    if child(features, NS_TLS, "starttls") is None:
        if who.plaintext:
            return features
        raise ConnectFailed("the server offers no TLS")
    connection.send(f"<starttls xmlns='{NS_TLS}'/>".encode())
    await _expect(connection, NS_TLS, "proceed")
    connection.start_tls(tls)
    try:
        return await _greet(connection, who.jid.domain)
    except Disconnected as error:
        raise _no_stream(connection, error) from None


def _no_stream(connection: Connection, error: Disconnected) -> Exception:
    """The first stream under TLS ended before it began: TLS itself may be why."""
    if connection.is_secure and not error.condition:
        return ConnectFailed(f"TLS: {error.text}")
    return error


async def _expect(connection: Connection, namespace: str, *names: str) -> Element:
    event = await connection.next()
    if isinstance(event, StreamOpened) or event.namespace != namespace or event.name not in names:
        raise Disconnected("unsupported-stanza-type", f"instead of <{names[0]}/>: {event!r}")
    return event.tree


# SASL.


async def _authenticate(connection: Connection, who: Credentials, features: Element) -> str:
    """Authenticate (RFC 6120 §6); gives the mechanism used. Raises LoginFailed."""
    offer = child(features, NS_SASL, "mechanisms")
    offered = [text(node).strip() for node in children(offer)] if offer is not None else []
    try:
        if scram := _choose_scram(connection, who, offered, features):
            await _scram(connection, scram)
            return scram.mechanism
        if who.mechanism in ("", "PLAIN") and "PLAIN" in offered:
            if not (connection.is_secure or who.plaintext):
                raise LoginFailed("encryption-required", "PLAIN is only for TLS")
            message = f"\0{who.jid.local}\0{who.password.reveal()}".encode()
            await _say(connection, "auth", message, "success", mechanism="PLAIN")
            return "PLAIN"
    except SASLFailure as failure:
        raise LoginFailed(failure.condition, failure.text) from None
    raise LoginFailed("invalid-mechanism", f"the server offers {', '.join(offered) or 'none'}")


def _choose_scram(
    connection: Connection, who: Credentials, offered: Sequence[str], features: Element
) -> ScramClient | None:
    """The best SCRAM that both sides can do, or the one that is asked for; None if neither."""
    binding = connection.channel_binding(_binding_types(features))
    offers_plus = any(plus for name, (_, plus) in SCRAM.items() if name in offered)
    for name, (hash, plus) in SCRAM.items():
        if name in offered and who.mechanism in ("", name) and (binding or not plus):
            # A binding that goes unused tells the server that it offered none (RFC 5802 §6).
            told = binding if plus == offers_plus else None
            return ScramClient(hash, who.jid.local, who.password, told, plus)
    return None


def _binding_types(features: Element) -> list[str]:
    """What the server says it can bind to (XEP-0440), or anything if it does not say."""
    said = child(features, NS_CHANNEL_BINDING, "sasl-channel-binding")
    if said is None:
        return list(CHANNEL_BINDINGS)
    types = {node.getAttribute("type") for node in children(said)}
    return [kind for kind in CHANNEL_BINDINGS if kind in types]


async def _scram(connection: Connection, scram: ScramClient) -> None:
    challenge = await _say(
        connection, "auth", scram.first(), "challenge", mechanism=scram.mechanism
    )
    success = await _say(connection, "response", scram.final(challenge), "success")
    scram.verify(success)


async def _say(
    connection: Connection, name: str, message: bytes, expected: str, **attributes: str
) -> bytes:
    """Say something of SASL; gives what the element expected in answer carries."""
    said = element(NS_SASL, name, encode(message), **attributes)
    connection.send(serialize(said))
    answer = await _expect(connection, NS_SASL, expected, "failure")
    if answer.name != "failure":
        return decode(text(answer))
    conditions = [node.name for node in children(answer) if node.name != "text"]
    words = text(child(answer, NS_SASL, "text"))
    raise LoginFailed(conditions[0] if conditions else "not-authorized", words)
