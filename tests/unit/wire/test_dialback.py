"""Dialback's keys, and what its elements say (XEP-0220, XEP-0185)."""

import pytest

from pushd.wire import dialback
from pushd.wire.element import parse
from pushd.wire.errors import RemoteServerTimeout, StreamError
from pushd.wire.framer import seal
from pushd.wire.stanza import Stanza


def element(name: str, rest: str) -> Stanza:
    return seal(f"<{name} xmlns='jabber:server:dialback' {rest}".encode())


def test_the_key_is_that_of_the_example_of_the_specification() -> None:
    given = dialback.key(b"s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F")
    assert given == "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"


@pytest.mark.parametrize(
    "other",
    [
        (b"another secret", "a.example", "b.example", "1"),
        (b"secret", "b.example", "a.example", "1"),
        (b"secret", "a.example", "b.example", "2"),
        (b"secret", "a.exampl", "eb.example", "1"),
    ],
)
def test_a_key_is_good_for_one_stream_alone(other: tuple[bytes, str, str, str]) -> None:
    key = dialback.key(b"secret", "a.example", "b.example", "1")
    assert dialback.is_key(key, b"secret", "a.example", "b.example", "1")
    assert not dialback.is_key(key, *other)


def test_questions_and_answers_are_read_as_they_are_written() -> None:
    prefix = b"<s xmlns:db='jabber:server:dialback'>"
    for written, expected in (
        (
            dialback.question("verify", "a.example", "b.example", "abc", "id<1>"),
            dialback.Said("verify", "a.example", "b.example", "id<1>", "", "abc"),
        ),
        (
            dialback.answer("result", "a.example", "b.example", "valid"),
            dialback.Said("result", "a.example", "b.example", "", "valid", ""),
        ),
        (
            dialback.refusal("result", "a.example", "b.example", RemoteServerTimeout()),
            dialback.Said("result", "a.example", "b.example", "", "error", ""),
        ),
    ):
        tree = next(iter(parse(prefix + written + b"</s>").elements()))
        assert dialback.read(Stanza.of(tree)) == expected


@pytest.mark.parametrize(
    ("name", "rest", "condition"),
    [
        ("result", "to='b.example'>key</result>", "improper-addressing"),
        ("result", "from='a@a.example' to='b.example'>key</result>", "improper-addressing"),
        ("result", "from='a.example' to='b.example'/>", "bad-format"),
        ("result", f"from='a.example' to='b.example'>{'k' * 1001}</result>", "bad-format"),
        ("result", "from='a.example' to='b.example' type='perhaps'/>", "bad-format"),
        ("verify", "from='a.example' to='b.example'>key</verify>", "bad-format"),
        ("other", "from='a.example' to='b.example'>key</other>", "unsupported-stanza-type"),
    ],
)
def test_what_says_nothing_ends_the_stream(name: str, rest: str, condition: str) -> None:
    with pytest.raises(StreamError) as refused:
        dialback.read(element(name, rest))
    assert refused.value.condition == condition
