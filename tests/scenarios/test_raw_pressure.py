"""Peers that are hostile, slow or in a hurry, all at once; the others never notice."""

import re

from twisted.internet.defer import DeferredList
from twisted.internet.threads import deferToThread

from tests.patience import LONGEST, PATIENCE
from tests.scenarios.hostile import BOMB, HEADER, SM, Hostile
from tests.scenarios.raw import Raw

BIG = "x" * 250_000


class PressureTest(Hostile):
    timeout = LONGEST

    async def test_a_bomb_ends_the_stream_and_is_not_expanded(self) -> None:
        await self.start()
        raw = self.raw()

        raw.try_to_send(BOMB + HEADER + "&h;")
        said = raw.read_to_end()

        assert b"<restricted-xml" in said
        assert len(said) < 1_000

    async def test_sixteen_streams_of_garbage_at_once_disturb_no_chat(self) -> None:
        server = await self.start()
        juliet, romeo = server.client("juliet", "phone"), server.client("romeo", "desk")
        for client in (juliet, romeo):
            await client.connect()
            client.presence()
        garbage = [
            b"\x00\xff" * 20_000,
            b"<" * 40_000,
            HEADER.encode() * 100,
            BOMB.encode() + b"&h;" * 1_000,
            HEADER.encode() + b"<a>" * 10_000,
            HEADER.encode() + b" " * 200_000,
            HEADER.encode() + b"<a b='" + b"x" * 40_000,
            b"\x16\x03\x01" + b"\x00" * 40_000,
        ]

        def flood(data: bytes) -> bytes:
            raw = self.raw()
            for start in range(0, len(data), 1_000):
                raw.try_to_send(data[start : start + 1_000])
            return raw.read_to_end()

        floods = DeferredList([deferToThread(flood, data) for data in garbage * 2])
        for turn in range(40):
            romeo.message(juliet.jid.full, f"still here {turn}")
            message = await juliet.next_stanza("message", timeout=PATIENCE)
            assert message["from"] == romeo.jid.full
        for succeeded, said in await floods:
            assert succeeded, said
            assert said == b"" or said.endswith(b"</stream:stream>"), said[-200:]
        assert server.child.code is None

    async def test_a_client_that_writes_without_a_pause_is_heard_to_the_end(self) -> None:
        server = await self.start()
        raw = self.bound("juliet")
        raw.send(f"<enable xmlns='{SM}'/>")
        raw.read_until(rb"<enabled[^>]*>")
        message = f"<message to='romeo@localhost' type='chat'><body>{'x' * 2_000}</body></message>"

        def pour() -> bytes:
            for _ in range(20):
                raw.send(message * 100)
            raw.send(f"<iq type='get' id='last' to='{server.ready.domain}'><a xmlns='b'/></iq>")
            said = raw.read_until(rb"<iq[^>]*id='last'")
            while b" h='2001'" not in said:
                raw.send(f"<r xmlns='{SM}'/>")
                said = raw.read_until(rb"<a [^>]*/>")
            return said

        assert b" h='2001'" in await deferToThread(pour)

    async def test_a_client_that_does_not_read_is_cut_and_loses_nothing(self) -> None:
        server = await self.start()
        asleep, juliet = self.bound("romeo"), self.bound("juliet")
        asleep.send(f"<enable xmlns='{SM}' resume='true'/><presence/>")
        asleep.read_until(rb"<enabled[^>]*>")
        juliet.send(f"<enable xmlns='{SM}'/>")
        juliet.read_until(rb"<enabled[^>]*>")

        def send() -> None:
            for number in range(120):
                juliet.send(
                    f"<message to='romeo@localhost' id='m{number}' type='chat'>"
                    f"<body>{BIG}</body></message>"
                )
            said = b""
            while b" h='120'" not in said:
                juliet.send(f"<r xmlns='{SM}'/>")
                said = juliet.read_until(rb"<a [^>]*/>")

        await deferToThread(send)
        await server.event("session-detached")

        def come_back() -> set[bytes]:
            again = self.bound("romeo")
            again.send("<presence/>")
            found: set[bytes] = set()
            while len(found) < 120:
                said = again.read_until(rb"</message>")
                found.update(re.findall(rb" id='(m\d+)'", said))
            return found

        assert len(await deferToThread(come_back)) == 120

    async def test_handshakes_that_come_all_at_once_are_all_done(self) -> None:
        server = await self.start()
        raws = [self.raw() for _ in range(50)]

        def greet(raw: Raw) -> bytes:
            return raw.secure(server.ready.ca)

        for succeeded, said in await DeferredList([deferToThread(greet, raw) for raw in raws]):
            assert succeeded, said
            assert b"<mechanism>PLAIN</mechanism>" in said
