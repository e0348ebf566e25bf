"""Limits by address and by account as a configuration sets them, over real sockets."""

import base64
import time
from typing import Any

from twisted.trial.unittest import TestCase

from pushd.wire.secret import Secret
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.raw import Raw
from tests.scenarios.test_reloading import House

SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
ROMEO, PASSWORD = "romeo@example.net", Secret("pilot")


class LimitsTest(TestCase):
    timeout = LONGEST

    def start(self, **limits: Any) -> House:
        """A server for which this machine is as strange as any other."""
        house = House(self)
        house.server.stop()
        house.configure(limits={"exempt_networks": [], **limits})
        house.server = house.start()
        self.house = house
        return house

    def raw(self) -> Raw:
        raw = Raw(self.house.place(self.house.tls), self.house.folder / "ca.pem", "example.net")
        self.addCleanup(raw.close)
        return raw

    def log_in(self, user: str, password: str) -> str:
        """One login by PLAIN on a stream of its own; gives what it comes to."""
        with self.raw() as raw:
            raw.open("example.net")
            message = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
            raw.send(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{message}</auth>")
            return raw.read_until(rb"<success[^>]*>|</failure>").decode()

    def test_an_address_has_so_many_connections(self) -> None:
        house = self.start(connections_per_address=2)
        place = house.place(house.client)
        first, second = Raw(place), Raw(place)
        for raw in (first, second):
            self.addCleanup(raw.close)
            raw.open("example.net")

        with Raw(place) as third:
            third.try_to_send("<stream:stream")
            assert third.read_to_end() == b""
        first.send("</stream:stream>")
        first.read_to_end()

        with Raw(place) as third:
            third.open("example.net")

    def test_an_address_whose_logins_fail_is_put_off_but_not_who_is_at_home_there(self) -> None:
        self.start(login_failures_per_address=2)
        assert "<success" in self.log_in("romeo", "pilot")
        assert "<not-authorized/>" in self.log_in("nobody", "guess")
        assert "<not-authorized/>" in self.log_in("juliet", "guess")

        assert "<temporary-auth-failure/>" in self.log_in("juliet", "guess")
        assert "<temporary-auth-failure/>" in self.log_in("romeo", "guess")
        assert "<success" in self.log_in("romeo", "pilot")

    def test_who_sends_too_fast_waits_and_loses_nothing(self) -> None:
        house = self.start(bytes_per_second=50_000)
        raw = Raw(house.place(house.client), timeout=PATIENCE)
        self.addCleanup(raw.close)
        raw.log_in(house.folder / "ca.pem", ROMEO, PASSWORD)
        raw.bind("balcony")
        raw.send("<presence/>")
        began = time.monotonic()

        for number in range(350):
            raw.send(f"<message id='{number}' to='{ROMEO}'><body>{'x' * 2_000}</body></message>")
        said = b""
        while b"id='349'" not in said:
            said += raw.read_until(rb"</message>")

        assert said.count(b"</message>") == 350
        assert time.monotonic() - began > 2  # 700,000 bytes, of which 500,000 may come at once
