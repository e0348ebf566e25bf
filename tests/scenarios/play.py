"""Transcripts: conversations as text, played over real sockets.

    # Comments begin like this.
    Romeo connects as romeo/orchard
    Juliet's phone connects as juliet/phone with stream management

    Romeo sends
      <message to='{juliet/phone}' id='1'><body>I take thee at thy word</body></message>
    Juliet's phone receives
      <message from='{romeo/orchard}' to='{juliet/phone}' id='1'>
        <body>I take thee at thy word</body>
      </message>

A step is a line with a speaker and a verb: `connects as`, `sends`, `receives`, `receives
nothing`, `loses the connection`, `resumes`, `closes`. What is sent or received is one
stanza, indented under its step.

`{user}` is a bare and `{user/resource}` a full address, `{domain}`, `{push}` and
`{register}` are the server's hosts, and `{_}` is anything. Any other name is captured where
something is received, and has that value from then on. What is received is compared as XML:
attributes in any order, white space between elements and an `xml:lang` that the transcript
does not mention apart. Stanzas come in the order of the transcript, and no others.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pushd.client.client import Client
from pushd.wire.element import Element, children, element, escape, parse, serialize, text
from pushd.wire.namespaces import NS_XML
from tests.patience import PATIENCE
from tests.scenarios.harness import Server

_STEP = re.compile(
    r"(?P<who>\S.*?) (?P<verb>connects as|sends|receives nothing|receives|loses the connection"
    r"|resumes|closes)(?: (?P<rest>.+))?"
)
_NAME = re.compile(r"\{([^{}]+)\}")
_LANG = (NS_XML, "lang")
MANAGED = " with stream management"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its line in the file, who does what, and the stanza, if there is one."""

    line: int
    who: str
    verb: str
    rest: str
    stanza: str


class Mistake(Exception):
    """The transcript itself is wrong."""


def read(transcript: str) -> Iterator[Step]:
    """The steps of a transcript. Raises Mistake."""
    lines = transcript.split("\n")
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        if not line.strip() or line.startswith("#"):
            continue
        found = _STEP.fullmatch(line.rstrip())
        if found is None:
            raise Mistake(f"line {place}: not a step: {line!r}")
        begin = place
        while place < len(lines) and lines[place].startswith(" "):
            place += 1
        stanza = textwrap.dedent("\n".join(lines[begin:place])).strip()
        if bool(stanza) != (found["verb"] in ("sends", "receives")):
            raise Mistake(f"line {begin}: a stanza goes with `sends` and `receives`")
        yield Step(begin, found["who"], found["verb"], found["rest"] or "", stanza)


async def play(server: Server, path: Path) -> None:
    """Play a transcript. Raises AssertionError, naming the line where it went another way."""
    player = Player(server)
    for step in read(path.read_text(encoding="utf-8")):
        try:
            await player.play(step)
        except Exception as error:
            where = f"{path.name}, line {step.line}: {step.who} {step.verb}"
            raise AssertionError(f"{where}: {error}") from error
    await player.finish()


class Player:
    """The clients of a transcript, by their speakers' names, and what was captured."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clients: dict[str, Client] = {}
        self.known: dict[str, str] = {
            "domain": server.ready.domain,
            "push": server.ready.push_host,
            "register": server.ready.register_host,
        } | {jid.partition("@")[0]: jid for jid in server.ready.passwords}

    async def play(self, step: Step) -> None:
        if step.verb == "connects as":
            await self._connect(step.who, step.rest)
            return
        client = self._clients[step.who]
        match step.verb:
            case "sends":
                client.send(fill(step.stanza, self.known).encode())
            case "receives":
                expected = parse(step.stanza.encode())
                got = await client.next_stanza(lambda stanza: True, PATIENCE)
                if wrong := difference(expected, got, self.known):
                    raise AssertionError(f"{wrong}, in {serialize(got).decode()}")
            case "receives nothing":
                await self._nothing(client)
            case "loses the connection":
                client.cut()
            case "resumes":
                await client.resume()
            case _:
                await client.close()

    async def finish(self) -> None:
        """See that nothing came which the transcript does not tell."""
        for who, client in self._clients.items():
            if client.is_connected:
                try:
                    await self._nothing(client)
                except AssertionError as error:
                    raise AssertionError(f"at the end, {who}: {error}") from error

    async def _connect(self, who: str, rest: str) -> None:
        address = rest.removesuffix(MANAGED)
        client = self._server.client(*address.split("/"))
        await client.connect()
        if rest.endswith(MANAGED):
            await client.enable_sm()
        self._clients[who] = client
        self.known[address] = client.jid.full

    async def _nothing(self, client: Client) -> None:
        """Whatever the server had to say before, it said before the answer to a ping."""
        await client.iq("get", self._server.ready.domain, element("urn:xmpp:ping", "ping"))
        came = [serialize(stanza).decode() for stanza in client.inbox]
        assert not came, f"this came, too: {came}"


def fill(stanza: str, known: Mapping[str, str]) -> str:
    """The stanza with the values of its names. Raises Mistake for one that has none."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise Mistake(f"nothing is known of {found[0]}")
        return escape(known[found[1]])

    return _NAME.sub(value, stanza)


def difference(expected: Element, got: Element, known: dict[str, str]) -> str:
    """What is wrong with `got`, or nothing; what had no value yet is then known."""
    if (expected.uri, expected.name) != (got.uri, got.name):
        return f"<{got.name} xmlns='{got.uri}'/> instead of <{expected.name}/>"
    attributes = dict(got.attributes)
    if _LANG not in expected.attributes:
        attributes.pop(_LANG, None)
    if unlike := sorted(map(str, expected.attributes.keys() ^ attributes.keys())):
        return f"<{got.name}/> has too many or too few attributes: {', '.join(unlike)}"
    pairs = [(str(key), said, attributes[key]) for key, said in expected.attributes.items()]
    for what, said, value in [*pairs, ("text", text(expected).strip(), text(got).strip())]:
        if not _matches(said, value, known):
            return f"<{got.name}/> has {what} {value!r} instead of {said!r}"
    wanted, came = list(children(expected)), list(children(got))
    if [node.name for node in wanted] != [node.name for node in came]:
        return f"<{got.name}/> has the children {[node.name for node in came]}"
    for one, other in zip(wanted, came, strict=True):
        if wrong := difference(one, other, known):
            return wrong
    return ""


def _matches(said: str, value: str, known: dict[str, str]) -> bool:
    names: list[str] = []
    pattern = ""
    for place, part in enumerate(_NAME.split(said)):
        if place % 2 == 0:
            pattern += re.escape(part)
        elif part in known:
            pattern += re.escape(known[part])
        else:
            names.append(part)
            pattern += "(.*)"
    found = re.fullmatch(pattern, value, re.DOTALL)
    if found is not None:
        known.update(zip(names, found.groups(), strict=True))
        known.pop("_", None)
    return found is not None
