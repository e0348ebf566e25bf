"""What tests of hostile peers share: headers and logins as bytes, how a stream is ended."""

import base64
import hashlib
import re

from twisted.trial.unittest import TestCase

from pushd.wire.secret import Secret
from tests.patience import LONGEST
from tests.scenarios.harness import Server
from tests.scenarios.raw import Raw

HEADER = (
    "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
STREAMS = "urn:ietf:params:xml:ns:xmpp-streams"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
SM = "urn:xmpp:sm:3"
END = "</stream:stream>"
BOMB = (
    "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
    + "".join(f"<!ENTITY {name} '{f'&{chr(ord(name) - 1)};' * 10}'>" for name in "bcdefgh")
    + "]>"
)


def stream_error(said: bytes) -> str:
    """The condition with which a stream was ended; the stream must be closed behind it."""
    found = re.search(rb"<stream:error><([a-z-]+) xmlns='([^']+)'", said)
    assert found is not None, said
    assert found.group(2).decode() == STREAMS
    assert said.endswith(END.encode()), said
    return found.group(1).decode()


def plain(user: str, password: Secret | str, authzid: str = "") -> str:
    word = password.reveal() if isinstance(password, Secret) else password
    message = base64.b64encode(f"{authzid}\0{user}\0{word}".encode()).decode()
    return f"<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>"


def component(server: Server, secret: str | None = None, name: str = "") -> Raw:
    """The connection of a component, with its handshake sent; the answer is still to come."""
    ready = server.ready
    assert ready.component is not None
    raw = Raw(ready.component)
    raw.send(
        f"<stream:stream to='{name or ready.component_domain}' "
        "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
    said = raw.read_until(rb"<stream:stream[^>]*>")
    found = re.search(rb" id='([^']+)'", said)
    assert found is not None
    known = ready.component_secret.reveal() if secret is None else secret
    proof = hashlib.sha1(found.group(1) + known.encode()).hexdigest()
    raw.try_to_send(f"<handshake>{proof}</handshake>")
    return raw


class Hostile(TestCase):
    timeout = LONGEST

    async def start(self) -> Server:
        self.server = await Server.start(self)
        return self.server

    def raw(self) -> Raw:
        raw = Raw(self.server.ready.c2s)
        self.addCleanup(raw.close)
        return raw

    def opened(self) -> Raw:
        raw = self.raw()
        raw.open()
        return raw

    def secured(self) -> Raw:
        raw = self.raw()
        raw.secure(self.server.ready.ca)
        return raw

    def logged_in(self, user: str = "juliet") -> Raw:
        raw = self.raw()
        raw.log_in(self.server.ready.ca, self.server.jid(user), self.server.password(user))
        return raw

    def bound(self, user: str = "juliet", resource: str = "raw") -> Raw:
        raw = self.logged_in(user)
        raw.bind(resource)
        return raw

    def component(self) -> Raw:
        """A component that has proved itself."""
        raw = component(self.server)
        self.addCleanup(raw.close)
        raw.read_until(rb"<handshake/>")
        return raw

    def ended_by(self, raw: Raw, sent: bytes | str) -> str:
        """The condition that these bytes end the stream with."""
        raw.try_to_send(sent)
        return stream_error(raw.read_to_end())
