"""Every stream error of RFC 6120 §4.9.3 is either sent somewhere, or there is a reason never to."""

import ast
from collections.abc import Iterator
from pathlib import Path

from pushd.wire import offences

PUSHD = Path(__file__).parents[3] / "pushd"

SENT = {
    "bad-format": "text between stanzas, a stream that begins with another element",
    "bad-namespace-prefix": "a prefix that is not declared, or declared as none may be",
    "conflict": "a resource bound, a session resumed or a component connected a second time",
    "connection-timeout": "no session, or no handshake of a component, within the time allowed",
    "host-unknown": "a header for a domain that is not served, or for another one than before",
    "improper-addressing": "a header without an address; a component's stanza without one",
    "internal-server-error": "a defect here, a login or storage that fails",
    "invalid-from": "a sender that is not the stream's own",
    "invalid-namespace": "a stream or content of another namespace",
    "not-authorized": "what comes before its turn",
    "not-well-formed": "what is no XML",
    "policy-violation": "more than a limit allows",
    "reset": "the operator ends a session",
    "restricted-xml": "comments, processing instructions, document types, entities",
    "system-shutdown": "the server stops",
    "undefined-condition": "with a condition of XEP-0198: a count of what was never sent",
    "unsupported-encoding": "UTF-16 or another encoding, and UTF-8 that breaks its own rules",
    "unsupported-stanza-type": "an element that nobody expects",
    "unsupported-version": "a header without a version, or below 1.0",
}
NEVER = {
    "host-gone": "domains change when the server starts, and no stream lives through that",
    "invalid-xml": "for servers that validate against schemas",
    "remote-connection-failed": "no other server is asked in the course of a stream",
    "resource-constraint": "a server with no room for one more stream refuses the connection",
    "see-other-host": "there is one host for a domain",
    "unsupported-feature": "the initiating entity's to say",
}


def conditions() -> Iterator[str]:
    """The conditions that the code of the server can end a stream with."""
    for file in PUSHD.rglob("*.py"):
        if file.relative_to(PUSHD).parts[0] in ("client", "simulators"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "StreamError":
                for one in ast.walk(node.args[0]):
                    if isinstance(one, ast.Constant):
                        yield str(one.value)


def test_what_is_sent_and_what_is_not_are_all_there_is() -> None:
    assert len(SENT) + len(NEVER) == 25
    assert not SENT.keys() & NEVER.keys()


def test_the_code_sends_what_the_table_says() -> None:
    by_parser = {"unsupported-encoding", "not-well-formed", *offences.CONDITIONS.values()}
    assert {*conditions(), *by_parser} == SENT.keys()
