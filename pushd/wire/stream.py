"""Stream negotiation as a table of states: what may come when (RFC 6120 §4.3).

One table for the server's side of a client stream, one for a component's. A door looks up
what came, and does what the step says; what is in no table ends the stream.
"""

import re
import secrets
from collections.abc import Mapping
from enum import Enum, auto

from pushd.wire.element import escape
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import (
    NS_CLIENT,
    NS_COMPONENT,
    NS_CSI,
    NS_DIALBACK,
    NS_SASL,
    NS_SERVER,
    NS_SM,
    NS_STANZA_ERRORS,
    NS_STREAMS,
    NS_TLS,
)
from pushd.wire.stanza import Stanza

CLOSING = b"</stream:stream>"

_version = re.compile(r"0*[1-9][0-9]{0,3}\.[0-9]{1,4}").fullmatch
_language = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*").fullmatch


class State(Enum):
    PLAIN = auto()  # nothing negotiated, in the clear
    SECURE = auto()  # under TLS
    AUTHENTICATED = auto()
    BOUND = auto()


class Step(Enum):
    """What a door does about an element, by the table."""

    START_TLS = auto()
    AUTHENTICATE = auto()
    RESPOND = auto()
    ABORT = auto()
    BIND = auto()
    STANZA = auto()
    ENABLE = auto()
    RESUME = auto()
    ASKED = auto()  # <r/>: the peer asks for our count
    ANSWERED = auto()  # <a/>: the peer tells its own
    MISPLACED = auto()  # an <enable/> or <resume/> at the wrong time
    ACTIVE = auto()  # XEP-0352
    INACTIVE = auto()
    HANDSHAKE = auto()


_LOGIN = {
    f"{NS_SASL} auth": Step.AUTHENTICATE,
    f"{NS_SASL} response": Step.RESPOND,
    f"{NS_SASL} abort": Step.ABORT,
}
_STANZAS = dict.fromkeys(
    (f"{NS_CLIENT} {name}" for name in ("message", "presence", "iq")), Step.STANZA
)
_TOO_EARLY = {f"{NS_SM} enable": Step.MISPLACED, f"{NS_SM} resume": Step.MISPLACED}

CLIENT_DOOR: Mapping[State, Mapping[str, Step]] = {
    State.PLAIN: {f"{NS_TLS} starttls": Step.START_TLS, **_TOO_EARLY},
    State.SECURE: {**_LOGIN, **_TOO_EARLY},
    State.AUTHENTICATED: {
        **_TOO_EARLY,
        f"{NS_CLIENT} iq": Step.BIND,
        f"{NS_SM} resume": Step.RESUME,
    },
    State.BOUND: {
        **_STANZAS,
        f"{NS_SM} enable": Step.ENABLE,
        f"{NS_SM} r": Step.ASKED,
        f"{NS_SM} a": Step.ANSWERED,
        f"{NS_SM} resume": Step.MISPLACED,
        f"{NS_CSI} active": Step.ACTIVE,
        f"{NS_CSI} inactive": Step.INACTIVE,
    },
}
"""A client's way in: TLS first, then SASL, then a resource or a resumption."""

LOOPBACK_DOOR = {**CLIENT_DOOR, State.PLAIN: {**CLIENT_DOOR[State.PLAIN], **_LOGIN}}
"""The same for a door without certificates, which is for loopback addresses only."""

COMPONENT_DOOR: Mapping[State, Mapping[str, Step]] = {
    State.PLAIN: {f"{NS_CLIENT} handshake": Step.HANDSHAKE},
    State.BOUND: _STANZAS,
}
"""XEP-0114: a handshake, then stanzas."""


def step(door: Mapping[State, Mapping[str, Step]], state: State, stanza: Stanza) -> Step:
    """What this element means in this state; StreamError when it may not come at all."""
    name = f"{stanza.namespace} {stanza.name}"
    found = door[state].get(name)
    if found is not None:
        return found
    if state is not State.BOUND and any(name in steps for steps in door.values()):
        raise StreamError("not-authorized", f"<{stanza.name}/> is not for now")
    raise StreamError("unsupported-stanza-type", f"no <{stanza.name}/> is expected here")


def new_id() -> str:
    """A stream id that nobody can guess (RFC 6120 §4.7.3)."""
    return secrets.token_urlsafe(15)


def is_supported(version: str) -> bool:
    """Whether a stream header's `version` is 1.0 or above; ours is the lower (RFC 6120 §4.7.5)."""
    return _version(version) is not None


def language(tag: str) -> str:
    """The `xml:lang` of a stream header if it looks like one (RFC 5646), or nothing.

    It is added to each stanza of the stream, so that it had better be short.
    """
    return tag if len(tag) <= 35 and _language(tag) else ""


def header(domain: str, id: str, content: str, to: str = "") -> bytes:
    """A stream header (RFC 6120 §4.7); without `version` for components.

    The one that opens a stream has no `id`. Servers declare the prefix of dialback, too
    (XEP-0220 §2.2).
    """
    sender = f" from='{escape(domain)}'" if domain else ""
    addressee = f" to='{escape(to)}'" if to else ""
    named = f" id='{id}'" if id else ""
    version = "" if content == NS_COMPONENT else " version='1.0' xml:lang='en'"
    dialback = f" xmlns:db='{NS_DIALBACK}'" if content == NS_SERVER else ""
    return (
        f"<?xml version='1.0'?><stream:stream{sender}{addressee}{named}{version}"
        f" xmlns='{content}' xmlns:stream='{NS_STREAMS}'{dialback}>"
    ).encode()


def failed(condition: str, h: int | None = None) -> bytes:
    """The `<failed/>` of XEP-0198 §3 and §5, with the count of a session that has ended."""
    count = "" if h is None else f" h='{h}'"
    reason = f"<{condition} xmlns='{NS_STANZA_ERRORS}'/>"
    return f"<failed xmlns='{NS_SM}'{count}>{reason}</failed>".encode()


def count_of(stanza: Stanza) -> int | None:
    """The `h` of an `<a/>` or `<resume/>`, or None where it is no such count."""
    return number(stanza.attributes.get("h", ""))


def number(text: str) -> int | None:
    """An unsigned integer of XML Schema with 32 bits, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        return None
    found = int(text)
    return found if found < 2**32 else None
