"""A device that is pushed: what it was promised, what it may have lost by its own doing.

An answer that was read is a promise. A request whose answer was lost may have been carried
out or not: what it could have changed is promised no more, until the next answer.
"""

from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from tests.kills.apple import hexadecimal
from tests.kills.device import Device, condition, form, publish_options, registered
from tests.kills.provider import Provider
from tests.kills.server import PUSH_HOST

SECRETS = 8  # new secrets that may go unused before the first ones are forgotten
NS_PUBSUB = "http://jabber.org/protocol/pubsub"
X = "{jabber:x:data}"
FORM_SUMMARY = "urn:xmpp:push:summary"


@dataclass
class Ticket:
    """A registration that was answered, by its node."""

    node: str
    tokens: set[str] = field(default_factory=set)  # those that may be the present one
    secrets: list[tuple[int, str]] = field(default_factory=list)  # with the number of their asking
    asked: int = 0  # registrations asked for since the node is known
    used: int = 0  # the number of the newest secret that was surely used
    maybe_used: int = 0  # and of the newest that may have been
    removal: str = ""  # "asked", once its end may have come; "answered", once that is promised
    enabling: str = ""  # "asked" either way, "on" or "off"
    enabled_with: int = 0  # the number of the secret that it is enabled with
    accepted: list[int] = field(default_factory=list)  # numbers of publishes that were accepted

    def may_admit(self, number: int) -> bool:
        """Whether a secret may still be good."""
        return number >= self.used

    def must_admit(self, number: int) -> bool:
        return number >= self.maybe_used and self.asked - number <= SECRETS


class Phone(Device):
    """A device that registers for push, enables it, publishes to itself and goes away."""

    provider: Provider
    tally: dict[str, int]

    def prepare(self, provider: Provider, tally: dict[str, int]) -> None:
        self.provider = provider
        self.tally = tally
        self.tickets: list[Ticket] = []  # the newest last
        self._token = ""
        self._type = "fcm"
        self._made = 0

    @property
    def ticket(self) -> Ticket | None:
        """The newest registration, unless it was answered as removed."""
        newest = self.tickets[-1] if self.tickets else None
        return newest if newest is not None and newest.removal != "answered" else None

    @property
    def all_tokens(self) -> set[str]:
        """What it was ever known by."""
        return {f"{self.user}-{self._resource}:{number}" for number in range(1, self._made + 1)}

    def may_be_gone(self, ticket: Ticket) -> bool:
        return bool(ticket.removal) or self._is_dead(ticket)

    def _is_dead(self, ticket: Ticket) -> bool:
        return any(map(self.provider.has_buried, ticket.tokens))

    @property
    def may_lose_session(self) -> bool:
        """The notice that a registration is no more ends a session that waits to be woken."""
        return any(map(self.may_be_gone, self.tickets))

    def is_enabled(self, ticket: Ticket) -> bool:
        """Whether it was promised that this pushes the device, and nothing has ended that."""
        return (
            ticket.enabling == "on"
            and not self.may_be_gone(ticket)
            and ticket.must_admit(ticket.enabled_with)
        )

    # What it asks for. Each raises Lost.

    def register(self, type: str = "") -> None:
        """Register with the last token again, or with a new one of this type of provider."""
        if type or not self._token:
            self._made += 1
            self._token = f"{self.user}-{self._resource}:{self._made}"
            self._type = type or "fcm"
        token, before = self._token, self.ticket
        self._settle_earlier()
        if before is not None:
            before.tokens.add(token)
            before.asked += 1
        said = hexadecimal(token) if self._type == "apns" else token
        node, secret = registered(self.register_push(said, self._type))
        if before is not None and node != before.node:
            assert self.may_be_gone(before), f"{self.name}: its registration had been lost"
            before.removal = "answered"
        known = next((one for one in self.tickets if one.node == node), None)
        ticket = known or Ticket(node, asked=1)
        assert ticket.removal != "answered", f"{self.name}: a node that was removed is back"
        if known is None:
            self.tickets.append(ticket)
        ticket.tokens = {token}
        ticket.removal = ""
        ticket.secrets.append((ticket.asked, secret))
        self.tally["registrations"] += 1

    def unregister(self) -> None:
        self._settle_earlier()
        ticket = self.ticket
        if ticket is None:
            self.command("unregister-push")
            return
        was_living = not self.may_be_gone(ticket)
        ticket.removal = "asked"
        answer = self.command("unregister-push")
        # It may have died since; who says so is the provider.
        assert answer.get("type") == "result" or not was_living or self._is_dead(ticket), (
            f"{self.name}: its registration is lost"
        )
        ticket.removal = "answered"
        self.tally["unregistrations"] += 1

    def enable(self, back: int) -> None:
        """Enable push with the newest secret, or with one of those before it."""
        ticket = self.ticket
        if ticket is None:
            return
        self._settle_earlier()
        number, secret = ticket.secrets[-1 - back % len(ticket.secrets)]
        ticket.enabling = "asked"
        ticket.maybe_used = max(ticket.maybe_used, number)
        answer = self.enable_node(ticket.node, secret)
        assert answer.get("type") == "result", condition(answer)
        ticket.enabling, ticket.enabled_with = "on", number
        self.node = ticket.node
        self.tally["enablings"] += 1

    def disable(self) -> None:
        ticket = self.ticket
        if ticket is None or not ticket.enabling:
            return
        self._settle_earlier()
        ticket.enabling = "asked"
        self.answer_of(
            self.name.partition("/")[0],
            f"<disable xmlns='urn:xmpp:push:0' jid='{PUSH_HOST}' node='{ticket.node}'/>",
        )
        ticket.enabling = "off"

    def publish(self, back: int) -> None:
        """Publish to itself, as an account may, with a number that no other publish has."""
        ticket = self.ticket
        if ticket is None:
            return
        self._settle_earlier()
        number, secret = ticket.secrets[-1 - back % len(ticket.secrets)]
        serial = self.provider.new_number()
        may, must = ticket.may_admit(number), ticket.must_admit(number)
        if may:
            ticket.maybe_used = max(ticket.maybe_used, number)
        answer = self.answer_of(PUSH_HOST, _publish(ticket.node, secret, serial))
        why = condition(answer)
        if not why:
            assert may, f"{self.name}: a secret was taken after a newer one"
            ticket.used = max(ticket.used, number)
            ticket.accepted.append(serial)
            self.tally["accepted publishes"] += 1
        elif why == "forbidden":
            assert not must, f"{self.name}: a secret that was handed out is refused"
        else:
            assert why == "item-not-found", why
            assert self.may_be_gone(ticket), f"{self.name}: its node is lost"
        self.tally[f"publishes answered: {why or 'accepted'}"] += 1

    def _settle_earlier(self) -> None:
        """Let no request be repeated, after a resumption, that an answered one has followed."""
        self.wait(lambda: not self.unacknowledged, "acknowledgement")

    def _repeat(self, stanzas: list[str]) -> None:
        ticket = self.ticket
        if ticket is not None:  # a registration that is repeated makes one more secret
            ticket.asked += sum("register-push-" in stanza for stanza in stanzas)
        super()._repeat(stanzas)

    def listed(self) -> set[str]:
        """The nodes that the server says are registered."""
        answer = self.command("list-push-registrations")
        assert answer.get("type") == "result", condition(answer)
        return {value for item in answer.iter(f"{X}item") for value in _values(item, "node")}


def _values(item: Element, name: str) -> list[str]:
    return [
        one.findtext(f"{X}value", "") for one in item.iter(f"{X}field") if one.get("var") == name
    ]


def _publish(node: str, secret: str, serial: int) -> str:
    summary = form({"FORM_TYPE": FORM_SUMMARY, "pending-subscription-count": f"{serial}"})
    return (
        f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{node}'><item>"
        f"<notification xmlns='urn:xmpp:push:0'>{summary}</notification></item></publish>"
        f"<publish-options>{publish_options(secret)}</publish-options></pubsub>"
    )
