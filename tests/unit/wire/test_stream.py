"""The tables: every state against everything that may come."""

import pytest

from pushd.wire.errors import StreamError
from pushd.wire.framer import seal
from pushd.wire.namespaces import NS_CLIENT, NS_COMPONENT
from pushd.wire.stream import (
    CLIENT_DOOR,
    COMPONENT_DOOR,
    LOOPBACK_DOOR,
    State,
    Step,
    header,
    is_supported,
    language,
    new_id,
    step,
)

SASL, SM = "urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sm:3"
TLS, COMPRESS = "urn:ietf:params:xml:ns:xmpp-tls", "http://jabber.org/protocol/compress"
EARLY, STRANGE = "not-authorized", "unsupported-stanza-type"

INPUTS = {
    "starttls": f"<starttls xmlns='{TLS}'/>",
    "auth": f"<auth xmlns='{SASL}' mechanism='PLAIN'/>",
    "response": f"<response xmlns='{SASL}'/>",
    "abort": f"<abort xmlns='{SASL}'/>",
    "message": "<message/>",
    "presence": "<presence/>",
    "iq": "<iq/>",
    "enable": f"<enable xmlns='{SM}'/>",
    "resume": f"<resume xmlns='{SM}'/>",
    "r": f"<r xmlns='{SM}'/>",
    "a": f"<a xmlns='{SM}' h='0'/>",
    "active": "<active xmlns='urn:xmpp:csi:0'/>",
    "inactive": "<inactive xmlns='urn:xmpp:csi:0'/>",
    "handshake": "<handshake/>",
    "compress": f"<compress xmlns='{COMPRESS}'/>",
    "foreign": "<message xmlns='jabber:server'/>",
}

P, S, A, B = State.PLAIN, State.SECURE, State.AUTHENTICATED, State.BOUND

#            input: what it is in each state (PLAIN, SECURE, AUTHENTICATED, BOUND)
CLIENTS: dict[str, tuple[Step | str, Step | str, Step | str, Step | str]] = {
    "starttls": (Step.START_TLS, EARLY, EARLY, STRANGE),
    "auth": (EARLY, Step.AUTHENTICATE, EARLY, STRANGE),
    "response": (EARLY, Step.RESPOND, EARLY, STRANGE),
    "abort": (EARLY, Step.ABORT, EARLY, STRANGE),
    "message": (EARLY, EARLY, EARLY, Step.STANZA),
    "presence": (EARLY, EARLY, EARLY, Step.STANZA),
    "iq": (EARLY, EARLY, Step.BIND, Step.STANZA),
    "enable": (Step.MISPLACED, Step.MISPLACED, Step.MISPLACED, Step.ENABLE),
    "resume": (Step.MISPLACED, Step.MISPLACED, Step.RESUME, Step.MISPLACED),
    "r": (EARLY, EARLY, EARLY, Step.ASKED),
    "a": (EARLY, EARLY, EARLY, Step.ANSWERED),
    "active": (EARLY, EARLY, EARLY, Step.ACTIVE),
    "inactive": (EARLY, EARLY, EARLY, Step.INACTIVE),
    "handshake": (STRANGE, STRANGE, STRANGE, STRANGE),
    "compress": (STRANGE, STRANGE, STRANGE, STRANGE),
    "foreign": (STRANGE, STRANGE, STRANGE, STRANGE),
}


def found(door: object, state: State, name: str) -> Step | str:
    try:
        return step(door, state, seal(INPUTS[name].encode()))  # type: ignore[arg-type]
    except StreamError as error:
        return error.condition


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize(("state", "place"), [(P, 0), (S, 1), (A, 2), (B, 3)])
def test_what_may_come_from_a_client_when(name: str, state: State, place: int) -> None:
    assert found(CLIENT_DOOR, state, name) == CLIENTS[name][place]


@pytest.mark.parametrize("name", INPUTS)
def test_on_loopback_the_login_needs_no_tls(name: str) -> None:
    logins = {"auth": Step.AUTHENTICATE, "response": Step.RESPOND, "abort": Step.ABORT}

    assert found(LOOPBACK_DOOR, P, name) == logins.get(name, CLIENTS[name][0])


@pytest.mark.parametrize("name", INPUTS)
def test_what_may_come_from_a_component_when(name: str) -> None:
    stanzas = ("message", "presence", "iq")
    before = EARLY if name in stanzas else Step.HANDSHAKE if name == "handshake" else STRANGE

    assert found(COMPONENT_DOOR, P, name) == before
    assert found(COMPONENT_DOOR, B, name) == (Step.STANZA if name in stanzas else STRANGE)


@pytest.mark.parametrize("version", ["1.0", "1.1", "01.0", "2.0", "1.15", "1.00"])
def test_versions_from_1_0_on_are_answered_with_ours(version: str) -> None:
    assert is_supported(version)


@pytest.mark.parametrize("version", ["", "0.9", "0.0", "1", "1.", ".0", "one", " 1.0", "1.0.0"])
def test_other_versions_are_not_supported(version: str) -> None:
    assert not is_supported(version)


@pytest.mark.parametrize("tag", ["en", "de-AT", "zh-Hant-TW"])
def test_a_language_is_kept(tag: str) -> None:
    assert language(tag) == tag


@pytest.mark.parametrize("tag", ["", "'/><a", "en us", "x" * 9, "en-" * 12 + "en", "é"])
def test_what_is_no_language_is_not_added_to_stanzas(tag: str) -> None:
    assert language(tag) == ""


def test_a_header_says_who_speaks_to_whom() -> None:
    said = header("example.net", "id1", NS_CLIENT, "romeo@example.net").decode()

    assert "from='example.net' to='romeo@example.net' id='id1' version='1.0'" in said
    assert " to=" not in header("example.net", "id1", NS_CLIENT).decode()


def test_a_header_for_nobody_known_names_nobody_and_components_get_no_version() -> None:
    assert " from=" not in header("", "id1", NS_COMPONENT).decode()
    assert "?><stream:stream from='a.example' id='id1' xmlns=" in (
        header("a.example", "id1", NS_COMPONENT).decode()
    )


def test_what_a_peer_claims_cannot_break_out_of_the_header() -> None:
    said = header("x' y='", "id1", NS_COMPONENT)

    assert b"from='x&apos; y=&apos;'" in said


def test_ids_are_not_repeated() -> None:
    assert len({new_id() for _ in range(1_000)}) == 1_000
