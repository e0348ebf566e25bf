"""The conversations of SASL: the RFCs' own, a foreign library's, and those of cheats."""

from collections.abc import Mapping

import pytest
import scramp

from pushd.wire.element import serialize
from pushd.wire.sasl import (
    SCRAM,
    Hash,
    SASLFailure,
    ScramClient,
    ScramKeys,
    ScramServer,
    decode,
    derive,
    encode,
    fake_keys,
    plain,
)
from pushd.wire.scram import salted, sign
from pushd.wire.secret import Secret

DOMAIN = "example.net"
SALT = bytes(range(16))
BINDINGS = {"tls-exporter": b"exported", "tls-server-end-point": b"end point"}
KEYS = derive("SHA-1", "pencil", SALT, 4096)


def server(
    hash: Hash = "SHA-1",
    plus: bool = False,
    bindings: Mapping[str, bytes] = BINDINGS,
    offered_plus: bool = False,
) -> ScramServer:
    return ScramServer(hash, plus, bindings, offered_plus, DOMAIN)


def refusal(machine: ScramServer, message: str | bytes) -> tuple[str, str]:
    with pytest.raises(SASLFailure) as failure:
        machine.first(message if isinstance(message, bytes) else message.encode())
    return failure.value.condition, failure.value.text


# RFC 5802 §5 and RFC 7677 §3.
VECTORS: list[tuple[Hash, str, str, str, str, str]] = [
    (
        "SHA-1",
        "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "SHA-256",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(("hash", "first", "nonce", "challenge", "final", "success"), VECTORS)
def test_the_server_speaks_the_conversations_of_the_rfcs(
    hash: Hash, first: str, nonce: str, challenge: str, final: str, success: str
) -> None:
    salt = decode(challenge.split(",")[1][2:])
    machine = server(hash)
    assert machine.first(first.encode()) == machine.username == "user"
    assert machine.challenge(derive(hash, "pencil", salt, 4096), nonce) == challenge.encode()
    assert machine.finish(final.encode()) == success.encode()


@pytest.mark.parametrize(("hash", "first", "nonce", "challenge", "final", "success"), VECTORS)
def test_the_client_speaks_the_conversations_of_the_rfcs(
    hash: Hash, first: str, nonce: str, challenge: str, final: str, success: str
) -> None:
    client = ScramClient(hash, "user", Secret("pencil"))
    assert client.first(first.split("r=")[1]) == first.encode()
    assert client.final(challenge.encode()) == final.encode()
    client.verify(success.encode())


@pytest.mark.parametrize("mechanism", SCRAM)
@pytest.mark.parametrize("binding", [("tls-server-end-point", b"end point"), ("tls-unique", b"u")])
def test_a_foreign_client_logs_in(mechanism: str, binding: tuple[str, bytes]) -> None:
    hash, plus = SCRAM[mechanism]
    client = scramp.ScramClient(
        [mechanism], "user", "p\u00e4ncil", channel_binding=binding if plus else None
    )
    machine = server(hash, plus, {**BINDINGS, "tls-unique": b"u"}, offered_plus=True)
    assert machine.first(client.get_client_first().encode()) == "user"
    client.set_server_first(machine.challenge(derive(hash, "p\u00e4ncil")).decode())
    client.set_server_final(machine.finish(client.get_client_final().encode()).decode())


@pytest.mark.parametrize("mechanism", SCRAM)
def test_the_client_logs_in_at_a_foreign_server(mechanism: str) -> None:
    hash, plus = SCRAM[mechanism]
    binding = ("tls-server-end-point", b"end point") if plus else None
    foreign = scramp.ScramMechanism(mechanism)
    keys = foreign.make_auth_info("pencil")
    machine = foreign.make_server(lambda username: keys, channel_binding=binding)
    client = ScramClient(hash, "a,b=c", Secret("pencil"), binding, plus)
    assert client.mechanism == mechanism
    machine.set_client_first(client.first().decode())
    machine.set_client_final(client.final(machine.get_server_first().encode()).decode())
    client.verify(machine.get_server_final().encode())


@pytest.mark.parametrize("mechanism", SCRAM)
def test_client_and_server_understand_each_other(mechanism: str) -> None:
    hash, plus = SCRAM[mechanism]
    binding = ("tls-exporter", b"exported") if plus else None
    client = ScramClient(hash, "a,b=c", Secret("pencil"), binding, server_offers_plus=True)
    assert (client.mechanism, client.plus) == (mechanism, plus)
    machine = server(hash, plus, offered_plus=True)
    assert machine.first(client.first()) == "a,b=c"
    client.verify(machine.finish(client.final(machine.challenge(derive(hash, "pencil")))))


def test_a_wrong_password_is_not_authorized() -> None:
    for keys in (derive("SHA-1", "pen"), fake_keys(b"secret", "SHA-1", "user@example.net")):
        client, machine = ScramClient("SHA-1", "user", Secret("pencil")), server()
        machine.first(client.first())
        with pytest.raises(SASLFailure) as failure:
            machine.finish(client.final(machine.challenge(keys)))
        assert (failure.value.condition, failure.value.text) == ("not-authorized", "")


def test_users_names_are_prepared_as_local_parts() -> None:
    assert server().first(b"n,,n=J\xc3\x9cRGEN=2C=3D,r=x") == "j\u00fcrgen,="
    for name in ("a b", "a@b", "\u265a", "a" * 1024, "\x7f"):
        assert refusal(server(), f"n,,n={name},r=x") == (
            "not-authorized",
            "the user name is not the local part of an address",
        )


def test_a_user_may_act_as_oneself_only() -> None:
    for own in ("a=user@example.net", "a=User@EXAMPLE.net", ""):
        assert server().first(f"n,{own},n=user,r=x".encode()) == "user"
    assert server().first(b"n,a=a=2Cb@example.net,n=A=2CB,r=x") == "a,b"
    for other in ("a=admin@example.net", "a=user@example.org", "a=user", "a=example.net"):
        assert refusal(server(), f"n,{other},n=user,r=x")[0] == "invalid-authzid"
    for odd in ("a=user@example.net/x", "a=@", "a=user@@example.net", "a=\u265a@example.net"):
        assert refusal(server(), f"n,{odd},n=user,r=x")[0] == "invalid-authzid"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n",
        b"n,",
        b"n,,",
        b"n,,n=user",
        b"n,,r=x,n=user",
        b"n,,n=user,r=",
        b"n,,n=,r=x",
        b"n,,n=user,x=1,r=x",
        b"n,,n=user,r=x,",
        b"n,,n=user,r=x,n=other",
        b"n,,n=user,r=x,xx=1",
        b"n,,n=user,r=x,1=1",
        b"n,,n=user,r=x y",
        b"n,,n=user,r=\xc3\xa4",
        b"n,,n=us=er,r=x",
        b"n,,n=user=2,r=x",
        b"n,,n=user=2c,r=x",
        b"n,,n=us\x00er,r=x",
        b"n,,n=\xff,r=x",
        b"n,a=,n=user,r=x",
        b"n,a==,n=user,r=x",
        b"n,user@example.net,n=user,r=x",
        b"q,,n=user,r=x",
        b",,n=user,r=x",
        b"p=,,n=user,r=x",
        b" n,,n=user,r=x",
    ],
)
def test_what_is_no_first_message_is_malformed(message: bytes) -> None:
    assert refusal(server(), message)[0] == "malformed-request"


def test_optional_extensions_are_passed_over_and_mandatory_ones_refused() -> None:
    assert server().first(b"n,,n=user,r=x,x=1,y==") == "user"
    for message in ("n,,m=1,n=user,r=x", "n,,n=user,r=x,m=1"):
        assert refusal(server(), message) == (
            "malformed-request",
            "a mandatory extension is not supported",
        )


def test_a_downgrade_is_noticed() -> None:
    assert refusal(server(offered_plus=True), "y,,n=user,r=x") == (
        "not-authorized",
        "channel binding was offered",
    )
    assert server(offered_plus=False).first(b"y,,n=user,r=x") == "user"
    assert server(offered_plus=True).first(b"n,,n=user,r=x") == "user"


def test_channel_binding_goes_with_plus_and_only_with_it() -> None:
    for flag in "ny":
        assert refusal(server(plus=True, offered_plus=True), f"{flag},,n=user,r=x") == (
            "malformed-request",
            "a mechanism that ends in -PLUS needs channel binding",
        )
    assert refusal(server(offered_plus=True), "p=tls-exporter,,n=user,r=x") == (
        "malformed-request",
        "channel binding needs a mechanism that ends in -PLUS",
    )
    for kind in ("tls-unique", "", "TLS-EXPORTER", "\u00e4"):
        assert refusal(server(plus=True, offered_plus=True), f"p={kind},,n=user,r=x") == (
            "not-authorized",
            "unsupported type of channel binding",
        )


@pytest.mark.parametrize(
    ("kind", "data"), [("tls-exporter", b"of another"), ("tls-server-end-point", b"exported")]
)
def test_another_channel_does_not_log_in(kind: str, data: bytes) -> None:
    client = ScramClient("SHA-1", "user", Secret("pencil"), (kind, data), True)
    machine = server(plus=True, offered_plus=True)
    machine.first(client.first())
    with pytest.raises(SASLFailure, match=r"^not-authorized: channel binding does not match$"):
        machine.finish(client.final(machine.challenge(KEYS)))


def conversation() -> tuple[ScramServer, str]:
    """A server that waits for the final message, and the right one."""
    client, machine = ScramClient("SHA-1", "user", Secret("pencil")), server()
    machine.first(client.first("x"))
    return machine, client.final(machine.challenge(KEYS, "y")).decode()


def test_a_final_message_may_have_optional_extensions_if_they_are_signed() -> None:
    final = "c=biws,r=xy,x=1"
    signed = f"n=user,r=x,r=xy,s={encode(SALT)},i=4096,{final}".encode()
    key = sign("SHA-1", salted("SHA-1", "pencil", SALT, 4096), b"Client Key")
    mask = sign("SHA-1", KEYS.stored_key, signed)
    proof = encode(bytes(a ^ b for a, b in zip(key, mask, strict=True)))
    machine, _ = conversation()
    success = machine.finish(f"{final},p={proof}".encode())
    assert success == b"v=" + encode(sign("SHA-1", KEYS.server_key, signed)).encode()
    machine, other = conversation()
    with pytest.raises(SASLFailure, match=r"^not-authorized$"):
        machine.finish(other.replace(",p=", ",x=1,p=").encode())


@pytest.mark.parametrize(
    ("old", "new", "condition"),
    [
        ("c=biws", "c=eSws", "not-authorized"),
        ("c=biws", "c=biws=", "not-authorized"),
        ("c=biws", "c=", "malformed-request"),
        ("c=biws,", "", "malformed-request"),
        ("r=xy", "r=x", "not-authorized"),
        ("r=xy", "r=xyz", "not-authorized"),
        ("r=xy", "r=\u00e4", "not-authorized"),
        ("r=xy,", "", "malformed-request"),
        ("r=xy", "r=xy,m=1", "malformed-request"),
        ("c=biws,r=xy", "r=xy,c=biws", "malformed-request"),
        ("p=", "p=A", "malformed-request"),
        ("p=", "p= ", "malformed-request"),
        ("p=", "v=", "malformed-request"),
        ("p=", "p=AAAA,x=", "malformed-request"),
    ],
)
def test_a_final_message_is_read_strictly(old: str, new: str, condition: str) -> None:
    machine, final = conversation()
    assert old in final
    with pytest.raises(SASLFailure) as failure:
        machine.finish(final.replace(old, new, 1).encode())
    assert failure.value.condition == condition


def test_a_proof_of_another_length_or_none_is_malformed() -> None:
    for message in (b"c=biws,r=xy", b"c=biws,r=xy,p=", b"c=biws,r=xy,p=AAAA", b"\xff"):
        machine, _ = conversation()
        with pytest.raises(SASLFailure, match=r"^malformed-request"):
            machine.finish(message)


def test_a_login_has_one_try() -> None:
    machine, final = conversation()
    with pytest.raises(SASLFailure):
        machine.finish(b"c=biws,r=xy,p=AAAA")
    with pytest.raises(SASLFailure, match=r"^malformed-request: out of order$"):
        machine.finish(final.encode())
    with pytest.raises(SASLFailure, match=r"^malformed-request: out of order$"):
        machine.challenge(KEYS)


def test_messages_out_of_order_fail() -> None:
    hasty = server()
    with pytest.raises(SASLFailure, match=r"out of order$"):
        hasty.challenge(KEYS)
    hasty.first(b"n,,n=user,r=x")
    with pytest.raises(SASLFailure, match=r"out of order$"):
        hasty.finish(b"c=biws,r=x,p=AAAA")
    with pytest.raises(SASLFailure, match=r"out of order$"):
        hasty.challenge(KEYS)
    twice, _ = conversation()
    with pytest.raises(SASLFailure, match=r"out of order$"):
        twice.challenge(KEYS)


def test_nonces_are_fresh() -> None:
    challenges = set()
    for _ in range(2):
        machine = server()
        machine.first(b"n,,n=user,r=same")
        challenges.add(machine.challenge(KEYS))
    assert len(challenges) == 2
    firsts = {ScramClient("SHA-1", "user", Secret("pencil")).first() for _ in range(2)}
    assert len(firsts) == 2


def test_a_client_that_could_bind_says_so_when_plus_is_not_offered() -> None:
    client = ScramClient("SHA-1", "user", Secret("pencil"), ("tls-exporter", b"x"), False)
    assert client.mechanism == "SCRAM-SHA-1"
    assert client.first("r") == b"y,,n=user,r=r"


@pytest.mark.parametrize(
    ("challenge", "condition"),
    [
        (b"", "malformed-request"),
        (b"\xff", "malformed-request"),
        (b"e=other-error", "malformed-request"),
        (b"r=xy,s=AAAA", "malformed-request"),
        (b"m=1,r=xy,s=AAAA,i=4096", "malformed-request"),
        (b"r=xy,s=AAA,i=4096", "malformed-request"),
        (b"r=xy,s=====,i=4096", "malformed-request"),
        (b"r=zy,s=AAAA,i=4096", "not-authorized"),
        (b"r=x,s=AAAA,i=4096", "not-authorized"),
        (b"r=xy z,s=AAAA,i=4096", "not-authorized"),
        (b"r=xy,s=AAAA,i=4095", "not-authorized"),
        (b"r=xy,s=AAAA,i=1", "not-authorized"),
        (b"r=xy,s=AAAA,i=-4096", "not-authorized"),
        (b"r=xy,s=AAAA,i=10000001", "not-authorized"),
        (b"r=xy,s=AAAA,i=" + b"9" * 5000, "not-authorized"),
        (b"r=xy,s=AAAA,i=\xd9\xa4\xd9\xa0\xd9\xa9\xd9\xa6", "not-authorized"),
    ],
)
def test_a_client_refuses_a_bad_challenge(challenge: bytes, condition: str) -> None:
    client = ScramClient("SHA-1", "user", Secret("pencil"))
    client.first("x")
    with pytest.raises(SASLFailure) as failure:
        client.final(challenge)
    assert failure.value.condition == condition


def test_a_client_refuses_a_server_that_does_not_know_the_password() -> None:
    client = ScramClient("SHA-1", "user", Secret("pencil"))
    client.first("x")
    with pytest.raises(SASLFailure, match="success without a challenge"):
        client.verify(b"v=")
    client.final(b"r=xy,s=AAAA,i=4096,x=extension")
    for success in (b"v=AAAA", b"v=", b"", b"e=invalid-proof", b"v=" + b"A" * 27 + b"=", b"\xff"):
        with pytest.raises(SASLFailure):
            client.verify(success)


def test_plain_gives_the_user_and_the_password() -> None:
    user, password = plain(b"\0Juliet\0r0m30myr0m30", DOMAIN)
    assert (user, password) == ("juliet", Secret("r0m30myr0m30"))
    assert plain("user@example.net\0user\0p\u00e4ss".encode(), DOMAIN) == (
        "user",
        Secret("p\u00e4ss"),
    )
    assert "r0m30" not in repr(plain(b"\0Juliet\0r0m30myr0m30", DOMAIN))


@pytest.mark.parametrize(
    ("message", "condition"),
    [
        (b"", "malformed-request"),
        (b"user", "malformed-request"),
        (b"user\0pencil", "malformed-request"),
        (b"\0user\0", "malformed-request"),
        (b"\0\0pencil", "malformed-request"),
        (b"\0user\0pen\0cil", "malformed-request"),
        (b"\0user\0\xff", "malformed-request"),
        (b"\0us er\0pencil", "not-authorized"),
        (b"admin@example.net\0user\0pencil", "invalid-authzid"),
        (b"user@example.org\0user\0pencil", "invalid-authzid"),
        (b"user@example.net/x\0user\0pencil", "invalid-authzid"),
        (b"user\0user\0pencil", "invalid-authzid"),
        (b"@\0user\0pencil", "invalid-authzid"),
    ],
)
def test_plain_is_read_strictly(message: bytes, condition: str) -> None:
    with pytest.raises(SASLFailure) as failure:
        plain(message, DOMAIN)
    assert failure.value.condition == condition
    assert "pencil" not in str(failure.value)


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"\xff\xfe\xfb"])
def test_payloads_travel_in_base64(data: bytes) -> None:
    assert decode(encode(data)) == data


def test_an_equals_sign_is_an_empty_payload() -> None:
    assert encode(b"") == "="
    assert decode("=") == decode("") == b""


@pytest.mark.parametrize(
    "text",
    ["YQ", "YQ=", "YQ===", "YR==", "Y Q==", "YQ==\n", " YQ==", "Y-_=", "\u00e4", "==", "A", "=YQ="],
)
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    with pytest.raises(SASLFailure, match=r"^incorrect-encoding$"):
        decode(text)


def test_a_failure_is_written_as_the_rfc_says() -> None:
    assert serialize(SASLFailure("not-authorized").element()) == (
        b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
    )
    assert serialize(SASLFailure("malformed-request", "a < b").element()) == (
        b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><malformed-request/>"
        b"<text>a &lt; b</text></failure>"
    )


def test_mechanisms_are_listed_with_the_best_first() -> None:
    assert next(iter(SCRAM)) == "SCRAM-SHA-512-PLUS"
    assert list(SCRAM)[-1] == "SCRAM-SHA-1"
    assert all(plus == name.endswith("-PLUS") for name, (_, plus) in SCRAM.items())


def test_keys_of_a_login_may_come_from_storage() -> None:
    stored = (KEYS.salt, KEYS.iterations, KEYS.stored_key, KEYS.server_key)
    client, machine = ScramClient("SHA-1", "user", Secret("pencil")), server()
    machine.first(client.first())
    client.verify(machine.finish(client.final(machine.challenge(ScramKeys(*stored)))))
