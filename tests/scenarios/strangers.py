"""Other servers played over bare sockets: what they show and say is the test's to decide."""

import contextlib
import re
import socket
import ssl
import threading

from tests.papers import Paper
from tests.patience import PATIENCE

STREAMS = "http://etherx.jabber.org/streams"
STARTTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
EXTERNAL = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"
MECHANISMS = (
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism>"
    "</mechanisms>"
)
DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'/>"


def header(sender: str, to: str, id: str = "") -> str:
    named = f" id='{id}'" if id else ""
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='{STREAMS}' "
        f"xmlns:db='jabber:server:dialback' from='{sender}' to='{to}'{named} version='1.0'>"
    )


class Talk:
    """One connection with a server, from the other end."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE)
        self.unread = b""

    def say(self, xml: str) -> None:
        self.socket.sendall(xml.encode())

    def hear(self, pattern: str) -> bytes:
        """Everything up to the end of a match; all, if the connection ends before."""
        while not (found := re.search(pattern.encode(), self.unread)):
            try:
                data = self.socket.recv(65_536)
            except (ConnectionError, ssl.SSLError):
                data = b""
            if not data:
                said, self.unread = self.unread, b""
                return said
            self.unread += data
        said, self.unread = self.unread[: found.end()], self.unread[found.end() :]
        return said

    def close(self) -> None:
        self.socket.close()


def opened(place: str, us: str, them: str) -> Talk:
    """Connect to a server as `us`, in the clear yet."""
    host, _, port = place.rpartition(":")
    talk = Talk(socket.create_connection((host, int(port)), PATIENCE))
    talk.say(header(us, them))
    talk.hear("</stream:features>")
    return talk


def calling(
    place: str, us: str, them: str, paper: Paper | None, sni: str = ""
) -> tuple[Talk, bytes]:
    """Connect to a server as `us`, showing a certificate; also its features under TLS."""
    talk = opened(place, us, them)
    talk.say(STARTTLS)
    talk.hear("<proceed[^>]*>")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if paper is not None:
        context.load_cert_chain(paper.certificate, paper.key)
    talk.socket = context.wrap_socket(talk.socket, server_hostname=sni or them)
    talk.say(header(us, them))
    return talk, talk.hear("</stream:features>|</stream:stream>")


class Stranger:
    """A server that listens, shows a certificate, and takes everybody for who he says he is.

    Once: to who comes again it offers no TLS, so that nobody waits for an answer from it.
    `heard` is all that was said to it under TLS, `names` are those that were asked for by SNI.
    """

    def __init__(
        self, domain: str, paper: Paper, features: str = MECHANISMS, behind: str = ""
    ) -> None:
        self.domain = domain
        self.heard = b""
        self.names: list[str | None] = []
        self._features = features
        self._is_over = False
        self._behind = behind  # said in the clear right after <proceed/>
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(paper.certificate, paper.key)
        self._context.sni_callback = lambda _, name, __: self.names.append(name)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.place = f"127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, name=domain, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), contextlib.closing(connection):
                self._talk(Talk(connection))

    def _talk(self, talk: Talk) -> None:
        begin = header(self.domain, "", "1")
        talk.hear("<stream:stream[^>]*>")
        talk.say(f"{begin}<stream:features>{'' if self._is_over else STARTTLS}</stream:features>")
        if not talk.hear("<starttls[^>]*>"):
            return
        talk.say(PROCEED + self._behind)
        talk.socket = self._context.wrap_socket(talk.socket, server_side=True)
        self._is_over = True
        with contextlib.closing(talk.socket):
            talk.hear("<stream:stream[^>]*>")
            talk.say(f"{begin}<stream:features>{self._features}</stream:features>")
            self.heard += talk.hear("</auth>|</db:result>")
            if b"<auth" in self.heard:
                talk.say("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
                self.heard += talk.hear("<stream:stream[^>]*>")
                talk.say(f"{begin}<stream:features/>")
            else:
                talk.say(f"<db:result from='{self.domain}' to='capulet.example' type='valid'/>")
            self.heard += talk.hear("</stream:stream>")
