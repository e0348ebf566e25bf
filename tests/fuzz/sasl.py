"""SASL as the server sees it: any bytes of a client, and never a login without the password."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from random import Random

from pushd.wire.element import parse, serialize
from pushd.wire.sasl import (
    SCRAM,
    SASLFailure,
    ScramClient,
    ScramServer,
    decode,
    derive,
    encode,
    plain,
)
from pushd.wire.scram import fake_keys, sign
from pushd.wire.secret import Secret

DOMAIN = "example.net"
PASSWORD = "secret"
NONCE = "server"
BINDINGS = {"tls-exporter": b"exported", "tls-server-end-point": b"hash"}
KEYS = {name: derive(SCRAM[name][0], PASSWORD, b"salt", 1) for name in SCRAM}
MECHANISMS = (*SCRAM, "PLAIN", "ScramClient", "base64")
NAMES = ("romeo", "r\u00e9mi", "a=2Cb", "a=3Db", "a=2", "", "Romeo", "a,b", "\u00df", "x" * 1100)
TOKENS = (
    *(b"n,,", b"y,,", b"p=tls-exporter,,", b"p=x,,", b"n,a=romeo@example.net,", b"n=romeo", b"r="),
    *(b",r=abc", b"c=biws", b"c=", b",p=", b"m=", b",x=1", b"=2C", b"=3D", b"=", b",", b"\0"),
    *(b"biws", b"{{proof}}", b"{{nonce}}", b"\n", b"a=juliet@example.net", b"\xff", b"\xc2\xad"),
    *(f"{name}\n".encode() for name in MECHANISMS),
)


def write(random: Random) -> bytes:
    """A mechanism, and the client's messages, each on a line; the proof is filled in later."""
    mechanism = random.choice(MECHANISMS)
    name = random.choice(NAMES) if random.random() < 0.5 else "romeo"
    authzid = random.choice(("", "", "romeo@example.net", "juliet@example.net", "x", "@"))
    if mechanism == "PLAIN":
        return f"PLAIN\n{authzid}\0{name}\0{random.choice((PASSWORD, '', 'wrong'))}".encode()
    flag = random.choice(("n", "n", "y", "p=tls-exporter", "p=tls-server-end-point", "p=x", "q"))
    identity = f"a={authzid}" if authzid else ""
    first = f"{flag},{identity},n={name},r={random.choice(('abc', '', '~', ' '))}"
    given = random.choice(("{{binding}}", "{{binding}}", "biws", "", "="))
    extension = random.choice(("", "", ",x=y", ",m=y"))
    final = f"c={given},r={{{{nonce}}}}{extension},p={{{{proof}}}}"
    if mechanism == "ScramClient":
        first = f"r=clientX,s=c2FsdA==,i={random.choice(('4096', '1', '-1', '99999999999'))}"
        final = random.choice(("v=AAAA", "e=other-error", "v=", ""))
    return f"{mechanism}\n{first}\n{final}".encode()


def one(data: bytes) -> None:
    mechanism, _, rest = data.partition(b"\n")
    name = mechanism.decode("latin-1")
    try:
        if name in SCRAM:
            _scram(name, rest)
        elif name == "PLAIN":
            user, password = plain(rest, DOMAIN)
            authzid, given, said = rest.decode().split("\0")
            assert said == password.reveal()
            assert given
            assert user
            assert not authzid or authzid.lower().startswith(user[:1])
        elif name == "ScramClient":
            _client(rest)
        else:
            assert decode(encode(rest)) == rest
            decoded = decode(rest.decode("latin-1"))
            assert decoded == b64decode(rest.strip(b"=") and rest)
    except SASLFailure as failure:
        _check_failure(failure)


def _check_failure(failure: SASLFailure) -> None:
    assert PASSWORD not in str(parse(serialize(failure.element())))


def _scram(name: str, rest: bytes) -> None:
    first, _, final = rest.partition(b"\n")
    hash_name, plus = SCRAM[name]
    server = ScramServer(hash_name, plus, BINDINGS, True, DOMAIN)
    user = server.first(first)
    keys = KEYS[name] if user == "romeo" else fake_keys(b"pepper", hash_name, user)
    challenge = server.challenge(keys, NONCE)
    written, proved = _filled(name, first, final, challenge)
    try:
        proof = server.finish(written)
    except SASLFailure:
        # What the grammar writes as it should be is a login.
        right = rb"c=\{\{binding\}\},r=\{\{nonce\}\}(,[a-lo-z]=[a-z]{1,8})?,p=\{\{proof\}\}"
        fine = proved and user == "romeo" and b"{{" not in first and re.fullmatch(right, final)
        assert not fine or b",c=" in final or b",r=" in final[3:].replace(b",r={{nonce}}", b"")
        raise
    assert user == "romeo"
    assert proved, "a login without the password"
    assert b"r=" + _nonce(challenge) in written
    message = _bare(first) + b"," + challenge + b"," + written.rpartition(b",")[0]
    assert proof == b"v=" + b64encode(sign(hash_name, keys.server_key, message))


def _nonce(challenge: bytes) -> bytes:
    return challenge.partition(b",s=")[0].removeprefix(b"r=")


def _bare(first: bytes) -> bytes:
    return first.split(b",", 2)[2]


def _filled(name: str, first: bytes, final: bytes, challenge: bytes) -> tuple[bytes, bool]:
    """The final message with what only a client with the password knows; whether it was used."""
    hash_name, _ = SCRAM[name]
    flag, identity, _ = first.split(b",", 2)
    header = flag + b"," + identity + b","
    binding = BINDINGS.get(flag[2:].decode(), b"") if flag.startswith(b"p=") else b""
    final = final.replace(b"{{binding}}", b64encode(header + binding))
    final = final.replace(b"{{nonce}}", _nonce(challenge))
    without = final.rpartition(b",")[0]
    if b"{{proof}}" not in final:
        return final, False
    message = _bare(first) + b"," + challenge + b"," + without
    algorithm = hash_name.replace("-", "").lower()
    salted = hashlib.pbkdf2_hmac(algorithm, PASSWORD.encode(), b"salt", 1)
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    signature = hmac.digest(hashlib.new(algorithm, client_key).digest(), message, algorithm)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return final.replace(b"{{proof}}", b64encode(proof)), True


def _client(rest: bytes) -> None:
    """Our own client, and a server that says anything; never a success it cannot have proved."""
    challenge, _, success = rest.partition(b"\n")
    client = ScramClient("SHA-1", "romeo", Secret(PASSWORD))
    client.first("client")
    if b"i=4096" in challenge or b"i=" not in challenge or len(challenge) < 12:
        client.final(challenge)
        client.verify(success)
        raise AssertionError("a server that knows nothing is believed")
