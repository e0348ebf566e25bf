"""Tigase's extensions of a publish: what is sealed, who calls, how urgent it is."""

import pytest

from pushd.appserver.publishes import Published, read
from pushd.appserver.pushes import RINGS, ROWS, Push, merged
from pushd.providers.contract import Call, Encrypted
from pushd.wire.errors import BadRequest
from pushd.wire.framer import seal
from pushd.wire.letter import unsealed
from pushd.wire.namespaces import NS_CLIENT, NS_PUSH
from pushd.wire.secret import Secret
from tests.unit.appserver.stage import Stage, notification, outcome, publishing, register

IV = "4W4vOoAIbpzGvdkK"
DATA = "c2VhbGVkIGFuZCB0YWdnZWQ="
NOW = 1_000.0


def encrypted(data: str = DATA, iv: str = IV, type: str = "") -> str:
    said = f" type='{type}'" if type else ""
    return f"<encrypted xmlns='tigase:push:encrypt:0' iv='{iv}'{said}>{data}</encrypted>"


def priority(level: str) -> str:
    return f"<priority xmlns='tigase:push:priority:0'>{level}</priority>"


def jingle(action: str = "propose", sid: str = "s1", media: tuple[str, ...] = ("audio",)) -> str:
    told = "".join(f"<media>{one}</media>" for one in media)
    return f"<jingle xmlns='tigase:push:jingle:0' action='{action}' sid='{sid}'>{told}</jingle>"


def said(*content: str, summary: dict[str, str] | None = None) -> Published:
    """What is read of a notification that holds these."""
    if summary is None:
        text = f"<notification xmlns='{NS_PUSH}'>{''.join(content)}</notification>"
    else:
        text = notification(summary, "".join(content))
    stanza = seal(f"<iq xmlns='{NS_CLIENT}' type='set' id='p'><item>{text}</item></iq>".encode())
    return read(unsealed(stanza)[0])


def test_what_is_sealed_is_taken_as_it_is() -> None:
    told = said(encrypted(f"\n  {DATA[:10]}\n  {DATA[10:]}\n"), priority("high"))

    assert told.encrypted == Encrypted(Secret(DATA), IV)
    assert not told.urgent  # it is a message like any other
    assert told.call is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (encrypted(""), "encrypted"),
        (encrypted("not base64!"), "encrypted"),
        (encrypted("abc"), "encrypted"),
        (encrypted(iv=""), "iv"),
        (encrypted(iv="*" * 16), "iv"),
        (encrypted(iv="A" * 68), "iv"),
    ],
    ids=["empty", "no base64", "cut off", "no iv", "odd iv", "long iv"],
)
def test_what_cannot_be_what_it_says_is_refused_by_its_name(content: str, named: str) -> None:
    with pytest.raises(BadRequest, match=named) as refused:
        said(content)
    assert DATA not in str(refused.value)


def test_what_is_longer_than_any_provider_takes_is_not_kept() -> None:
    assert said(encrypted("A" * 8_196)).encrypted is None


@pytest.mark.parametrize(
    ("content", "call"),
    [
        ((jingle(),), Call("s1", ("audio",))),
        ((jingle(media=("audio", "video", "No Media", "")),), Call("s1", ("audio", "video"))),
        ((jingle(sid="s" * 257),), Call("", ("audio",))),
        ((jingle("accept"),), None),
        ((jingle("retract"), encrypted(type="voip")), None),
        ((encrypted(type="voip"),), Call()),
        ((encrypted(type="voip"), priority("high")), Call()),
        ((encrypted(type="voip"), priority("low")), None),
        ((encrypted(),), None),
        ((priority("high"),), None),
    ],
)
def test_a_proposal_is_a_call(content: tuple[str, ...], call: Call | None) -> None:
    told = said(*content)

    assert told.call == call
    assert told.urgent == (call is not None)


def test_the_caller_is_told_where_senders_are() -> None:
    told = said(jingle(), summary={"last-message-sender": "romeo@example.net/orchard"})

    assert told.call == Call("s1", ("audio",), "romeo@example.net/orchard")


def merge(*publishes: Published, after: float = 1.0) -> Push:
    """What waits after these, one by one, `after` seconds apart."""
    push = None
    for number, one in enumerate(publishes):
        push = merged("n", push, one, NOW + number * after)
    assert push is not None
    return push


SEALED_CALL = said(encrypted(type="voip"), priority("high"))
SEALED_NEWS = said(encrypted("bmV3cw=="))


def test_the_newest_of_what_is_sealed_waits() -> None:
    note = merge(said(encrypted()), SEALED_NEWS).notification(NOW + 2)

    assert note.encrypted == Encrypted(Secret("bmV3cw=="), IV)


def test_what_is_sealed_stays_while_the_newer_one_tells_of_no_message() -> None:
    note = merge(SEALED_NEWS, said(summary={"pending-subscription-count": "1"})).notification(NOW)

    assert note.encrypted == Encrypted(Secret("bmV3cw=="), IV)
    assert note.pending_subscription_count == 1


def test_a_call_that_rings_outlives_the_news() -> None:
    note = merge(SEALED_CALL, SEALED_NEWS).notification(NOW + 2)

    assert note.call == Call()
    assert note.encrypted is not None
    assert note.encrypted.type == "voip"
    assert note.urgent


def test_the_news_outlive_a_call_that_rings_no_longer() -> None:
    note = merge(SEALED_CALL, SEALED_NEWS, after=RINGS + 1).notification(NOW + RINGS + 2)

    assert note.call is None
    assert note.encrypted == Encrypted(Secret("bmV3cw=="), IV)
    assert not note.urgent


def test_a_call_that_nobody_took_in_time_is_news_like_any_other() -> None:
    note = merge(SEALED_CALL).notification(NOW + RINGS + 1)

    assert note.call is None
    assert note.encrypted == Encrypted(Secret(DATA), IV)
    assert note.occasion == "message"


@pytest.mark.parametrize("action", ["accept", "reject", "retract", "proceed"])
def test_a_call_that_ended_elsewhere_rings_no_longer(action: str) -> None:
    note = merge(SEALED_CALL, said(jingle(action))).notification(NOW + 2)

    assert (note.call, note.encrypted, note.urgent) == (None, None, False)


def test_it_waits_on_disk_as_it_was_published() -> None:
    stage = Stage()
    node, secret = register(stage.client())
    desk = stage.client("juliet@example.net/desk")
    item = f"<item>{notification({'message-count': '1'}, encrypted() + jingle())}</item>"

    answer = desk.ask(
        f"<iq type='set' id='p' to='push.example.net'>{publishing(node, secret, items=item)}</iq>"
    )

    assert outcome(answer) == ""
    note, _ = stage.calls[0].look()
    assert note.encrypted == Encrypted(Secret(DATA), IV)
    assert note.call == Call("s1", ("audio",))
    [stored] = stage.hall.wait(ROWS.bind(stage.hall.host.database).select())
    assert stored.notification(stage.hall.clock.seconds()) == note
    assert DATA not in repr(stored)
