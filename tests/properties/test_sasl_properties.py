"""SASL against strangers: nothing they send ends otherwise than in a login or a failure."""

from hypothesis import assume, given
from hypothesis import strategies as st

from pushd.wire.jid import prepare_local
from pushd.wire.sasl import (
    SASLFailure,
    ScramClient,
    ScramServer,
    decode,
    derive,
    encode,
    plain,
    verify,
)
from pushd.wire.secret import Secret

SALT = bytes(range(16))
KEYS = derive("SHA-1", "pencil", SALT, 4096)
BINDINGS = {"tls-exporter": b"exported"}
PIECES = [
    *("n", "y", "p=tls-exporter", "p=", ",", ",,", "a=", "a=user@example.net", "n=", "n=user"),
    *("r=", "r=x", "r=xy", "c=biws", "c=", "p=AAAA", "m=1", "x=1", "=2C", "=3D", "=", "\0", "\x7f"),
    *(
        "s=AAAA",
        "i=4096",
        "i=1",
        "v=AAAA",
        "e=other",
        "\u00e4",
        "\u265a",
        "\u0665",
        "user",
        "@",
        "/",
    ),
]
# Hypothesis's own bytes, and shuffled pieces of messages.
messages = st.one_of(
    st.binary(),
    st.text().map(str.encode),
    st.lists(st.sampled_from(PIECES), max_size=14).map(lambda parts: "".join(parts).encode()),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: ",".join(parts).encode()),
)


@given(messages, st.booleans(), st.booleans())
def test_any_first_message_names_a_user_or_fails(
    message: bytes, plus: bool, offered_plus: bool
) -> None:
    machine = ScramServer("SHA-1", plus, BINDINGS, offered_plus, "example.net")
    try:
        user = machine.first(message)
    except SASLFailure:
        return
    assert user == prepare_local(user)
    assert message.startswith(b"p=tls-exporter,") == plus


@given(messages)
def test_any_final_message_without_the_password_fails(message: bytes) -> None:
    machine = ScramServer("SHA-1", False, BINDINGS, False, "example.net")
    machine.first(b"n,,n=user,r=x")
    machine.challenge(KEYS, "y")
    try:
        machine.finish(message)
    except SASLFailure:
        return
    raise AssertionError("logged in without a password")


@given(messages, messages)
def test_any_server_is_answered_or_refused_by_the_client(challenge: bytes, success: bytes) -> None:
    client = ScramClient("SHA-1", "user", Secret("pencil"))
    client.first("x")
    try:
        client.final(challenge)
    except SASLFailure:
        pass
    else:
        assert challenge.startswith(b"r=x")
    try:
        client.verify(success)
    except SASLFailure:
        return
    raise AssertionError("believed a server that does not know the password")


@given(st.one_of(messages, st.lists(st.binary(), max_size=4).map(b"\0".join)))
def test_any_message_of_plain_names_a_user_or_fails(message: bytes) -> None:
    try:
        user, password = plain(message, "example.net")
    except SASLFailure:
        return
    assert user == prepare_local(user)
    assert message.endswith(b"\0" + password.reveal().encode())


@given(st.one_of(st.text(), st.text("AZaz09+/= \n", max_size=12)))
def test_any_payload_is_canonical_base64_or_fails(text: str) -> None:
    try:
        data = decode(text)
    except SASLFailure:
        return
    assert encode(data) == (text or "=")


@given(
    st.sampled_from(["first", "challenge", "final"]),
    st.integers(min_value=0),
    st.integers(min_value=1, max_value=255),
)
def test_a_conversation_changed_on_its_way_does_not_log_in(
    which: str, position: int, change: int
) -> None:
    def pass_on(name: str, message: bytes) -> bytes:
        if name != which:
            return message
        at = position % len(message)
        return message[:at] + bytes([message[at] ^ change]) + message[at + 1 :]

    client = ScramClient("SHA-1", "user", Secret("pencil"), ("tls-exporter", b"exported"), True)
    machine = ScramServer("SHA-1", True, BINDINGS, True, "example.net")
    try:
        machine.first(pass_on("first", client.first("client")))
        challenge = pass_on("challenge", machine.challenge(KEYS, "server"))
        machine.finish(pass_on("final", client.final(challenge)))
    except SASLFailure:
        return
    raise AssertionError("logged in by a message that was changed")


@given(
    st.text("aBz09=,;.-\u00e4\u00c9\u03a3\u00df\uff21", min_size=1),
    st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1),
)
def test_whoever_knows_the_password_logs_in(name: str, password: str) -> None:
    user = prepare_local(name)
    try:
        keys = derive("SHA-256", password, SALT, 4096)
    except ValueError:
        assume(False)
    client = ScramClient("SHA-256", name, Secret(password))
    machine = ScramServer("SHA-256", False, {}, False, "example.net")
    assert machine.first(client.first()) == user
    client.verify(machine.finish(client.final(machine.challenge(keys))))
    read, secret = plain(f"{user}@example.net\0{name}\0{password}".encode(), "example.net")
    assert read == user
    assert verify(keys, "SHA-256", secret)
