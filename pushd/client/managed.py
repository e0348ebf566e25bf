"""XEP-0198 as a client keeps it: what it sent and what it received, across connections."""

import re

from pushd.wire.acks import AckQueue, Handled, HandledCountTooHigh
from pushd.wire.element import element, escape
from pushd.wire.errors import StreamError
from pushd.wire.namespaces import NS_SM

REQUEST = f"<r xmlns='{NS_SM}'/>".encode()
TRUE = ("true", "1")

_is_stanza = re.compile(rb"<(?:message|presence|iq)[\s/>]").match


class Managed:
    """The two counts of one session, its id, and what is still to be acknowledged.

    `hold` is how many seconds the server keeps the session for a resumption, if it says so.
    """

    def __init__(self) -> None:
        self.unacked = AckQueue()
        self.handled = Handled()
        self.id = ""  # empty: the session cannot be resumed
        self.hold: int | None = None
        self._is_enabled = False  # the server counts

    def sent(self, data: bytes, at: float) -> bool:
        """Count what is sent, if it is a stanza; tells whether it is."""
        if _is_stanza(data) is None:
            return False
        self.unacked.append(data, at)
        return True

    def received(self) -> None:
        """Count a stanza. It is safe, since nothing more is done about it than to keep it."""
        if self._is_enabled:
            self.handled.commit(self.handled.count())

    def enabled(self, attributes: dict[str, str]) -> None:
        """`<enabled/>` came (§3)."""
        self._is_enabled = True
        if attributes.get("resume") in TRUE:
            self.id = attributes.get("id", "")
        said = attributes.get("max", "")
        self.hold = int(said) if said.isascii() and said.isdigit() else None

    def acknowledge(self, h: str) -> None:
        """The server has handled so many. Raises StreamError for a count that cannot be."""
        if not (h.isascii() and h.isdigit()) or int(h) >= 1 << 32:
            raise StreamError("bad-format", f"not a count: {h!r}")
        try:
            self.unacked.acknowledge(int(h))
        except HandledCountTooHigh as error:
            attributes = {"h": str(error.h), "send-count": str(error.sent)}
            extra = element(NS_SM, "handled-count-too-high", **attributes)
            raise StreamError("undefined-condition", str(error), extra) from None

    def answer(self) -> bytes:
        """The `<a/>` that tells what was handled (§4)."""
        return f"<a xmlns='{NS_SM}' h='{self.handled.h}'/>".encode()

    def resume(self) -> bytes:
        """The `<resume/>` for this session (§5)."""
        return f"<resume xmlns='{NS_SM}' previd='{escape(self.id)}' h='{self.handled.h}'/>".encode()

    def again(self) -> list[bytes]:
        """The stanzas that are not acknowledged, oldest first."""
        return [data for data, _, _ in self.unacked]
