"""What clients believe is what is true: subscriptions, rosters and presence in any order.

Romeo and Juliet both have their accounts here, with two devices each. Whatever they say, and
however their connections end, the two halves of their subscription fit together (RFC 6121 §3),
each device that asked for the roster knows it (§2.1.6), and each that is available sees those
resources of the other, and of its own account, that there are to see (§4).
"""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.effort import examples
from tests.hall import Client, Hall

MODULES = {"roster": None, "subscriptions": None, "presence": None, "offline": None}
ROSTER = "jabber:iq:roster"
ROMEO, JULIET = "romeo@example.net", "juliet@example.net"
OTHER = {ROMEO: JULIET, JULIET: ROMEO}
DEVICES = [f"{account}/{name}" for account in OTHER for name in ("phone", "desk")]
HOLD = 300.0

accounts = st.sampled_from(list(OTHER))
devices = st.sampled_from(DEVICES)


def account_of(address: str) -> str:
    return address.partition("/")[0]


@dataclass
class Device:
    """What one device knows, from what it was sent and nothing else."""

    client: Client
    is_resumable: bool
    is_available: bool = False
    roster: dict[str, tuple[str, bool]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # full addresses that are available

    @property
    def is_connected(self) -> bool:
        return self.client.session.stream is not None

    def send(self, stanza: str) -> None:
        self.client.send(stanza)

    def read(self) -> None:
        for one in self.client.received():
            if one.name == "iq":
                for item in one.query.elements() if one.query else ():
                    if item["subscription"] == "remove":
                        del self.roster[item["jid"]]
                    else:
                        ask = item.getAttribute("ask") is not None
                        self.roster[item["jid"]] = (item["subscription"], ask)
            elif one.getAttribute("type") is None:
                self.seen.add(one["from"])
            elif one["type"] == "unavailable":
                # From a bare address: nobody is there (RFC 6121 §4.3.2, rule 3).
                gone = one["from"]
                self.seen = {full for full in self.seen if gone not in (full, account_of(full))}


class Belief(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.hall = Hall(modules=MODULES, resume_timeout=HOLD)
        for account in OTHER:
            self.hall.add_account(account)
        self.devices: dict[str, Device] = {}

    @initialize(sm=st.booleans(), friends=st.sampled_from([0, 1, 2]))
    def begin(self, sm: bool, friends: int) -> None:
        """All devices are there; whatever is to happen to them happens to somebody."""
        for address in DEVICES:
            self.come(address, sm, available=True)
        if friends:
            self.befriend(ROMEO, both=friends == 2)

    # Devices come and go.

    @rule(address=devices, sm=st.booleans(), available=st.booleans())
    def come(self, address: str, sm: bool, available: bool) -> None:
        """A new session, also in place of one that is there; then the roster, then presence."""
        client = self.hall.login(address, available=False, sm=sm)
        device = self.devices[address] = Device(client, sm)
        device.send(f"<iq type='get' id='r'><query xmlns='{ROSTER}'/></iq>")
        if available:
            device.is_available = True
            device.send("<presence/>")

    @rule(address=devices, priority=st.sampled_from([-1, 0, 5]))
    def show(self, address: str, priority: int) -> None:
        device = self._connected(address)
        if device is not None:
            if not device.is_available:
                device.seen.clear()
            device.is_available = True
            device.send(f"<presence><priority>{priority}</priority></presence>")

    @rule(address=devices)
    def leave(self, address: str) -> None:
        device = self._connected(address)
        if device is not None:
            device.send("<presence type='unavailable'/>")
            device.is_available = False

    @rule(address=devices)
    def close(self, address: str) -> None:
        device = self._connected(address)
        if device is not None:
            device.client.close()
            del self.devices[address]

    @rule(address=devices)
    def cut(self, address: str) -> None:
        device = self._connected(address)
        if device is not None:
            device.client.cut()
            if not device.is_resumable:
                del self.devices[address]

    @rule(address=devices)
    def resume(self, address: str) -> None:
        device = self.devices.get(address)
        if device is not None and not device.is_connected:
            device.client.resume()

    @rule()
    def wait(self) -> None:
        self.hall.advance(HOLD + 1)
        self.devices = {
            address: device for address, device in self.devices.items() if device.is_connected
        }

    # What they say to each other.

    @rule(
        address=devices,
        type=st.sampled_from(["subscribe", "subscribed", "unsubscribe", "unsubscribed"]),
    )
    def say(self, address: str, type: str) -> None:
        device = self._connected(address)
        if device is not None:
            device.send(f"<presence type='{type}' to='{OTHER[account_of(address)]}'/>")

    @rule(one=accounts, both=st.booleans())
    def befriend(self, one: str, both: bool) -> None:
        """What takes many steps, at once: asked and granted, one way or both ways."""
        for asking, granting in ((one, OTHER[one]), (OTHER[one], one))[: 1 + both]:
            for account, type in ((asking, "subscribe"), (granting, "subscribed")):
                names = [full for full in self.devices if account_of(full) == account]
                for device in filter(None, map(self._connected, names[:1])):
                    device.send(f"<presence type='{type}' to='{OTHER[account]}'/>")

    @rule(address=devices, removes=st.booleans())
    def edit(self, address: str, removes: bool) -> None:
        device = self._connected(address)
        if device is not None:
            how = "subscription='remove'" if removes else "name='N'"
            device.send(
                f"<iq type='set' id='s'><query xmlns='{ROSTER}'>"
                f"<item jid='{OTHER[account_of(address)]}' {how}/></query></iq>"
            )

    @rule(address=devices, what=st.sampled_from(["probe", "error"]))
    def disturb(self, address: str, what: str) -> None:
        """What changes nothing of what is to be seen."""
        device = self._connected(address)
        if device is not None:
            device.send(f"<presence type='{what}' to='{OTHER[account_of(address)]}'/>")

    # What is true of it all.

    @invariant()
    def the_halves_fit_together(self) -> None:
        rosters = self.hall.host.rosters
        for one, other in OTHER.items():
            self.hall.wait(rosters.load(one))
            self.hall.wait(rosters.load(other))
            mine, theirs = rosters[one].get(other), rosters[other].get(one)
            assert mine.sees == theirs.is_seen
            assert mine.ask == (one in rosters[other].requests)

    @invariant()
    def devices_know_what_is_true(self) -> None:
        available = {address for address, device in self.devices.items() if device.is_available}
        for address, device in self.devices.items():
            if not device.is_connected:
                continue
            device.read()
            account = account_of(address)
            roster = self.hall.host.rosters[account]
            assert device.roster == {
                jid: (contact.subscription, contact.ask) for jid, contact in roster.contacts.items()
            }
            if device.is_available:
                other = OTHER[account]
                sees = (account, other) if roster.get(other).sees else (account,)
                assert device.seen == {full for full in available if account_of(full) in sees}

    def _connected(self, address: str) -> Device | None:
        device = self.devices.get(address)
        return device if device is not None and device.is_connected else None


Belief.TestCase.settings = settings(max_examples=examples(30), stateful_step_count=40)
TestBelief = Belief.TestCase
