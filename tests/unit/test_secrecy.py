"""Secrets are compared in constant time, and made by a generator that nobody can predict.

Read from the source: `==` on what is called like a secret is an offence, and so is an
import of `random`. What is allowed says why.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_INS = ROOT / "pushd/simulators"  # what they hold is no secret

SECRETS = frozenset(
    (
        "credential",
        "hexdigest",
        "mac",
        "nonce",
        "passphrase",
        "password",
        "pin",
        "proof",
        "reveal",
        "secret",
        "signature",
        "token",
    )
)
SECRET_KEYS = frozenset(("stored_key", "server_key", "client_key", "private_key"))

MAY_COMPARE = {
    ("providers/attempts.py", "device.token != sent_to.token"): "`Secret` compares like that",
    ("appserver/dialects/tigase.py", "one.token == Secret(token)"): "`Secret` compares like that",
    ("appserver/outbox.py", "current.token == used.token"): "`Secret` compares like that",
    (
        "appserver/registrations.py",
        "self.token.reveal() == wanted.token.reveal()",
    ): "both are of one device, which is told of neither",
    ("cli/pushdctl.py", "password != again"): "both are typed by one and the same person",
    ("wire/sasl.py", "nonce == self._nonce"): "a client's own nonce, which it has sent already",
}
MAY_BE_RANDOM = {
    "modules/push/publisher.py": "spreads retries over time",
    "net/calling.py": "spreads reconnecting over time",
    "net/http2.py": "spreads reconnecting over time, by the system's generator",
    "net/http2_origin.py": "spreads reconnecting over time; names the type",
    "net/srv.py": "picks among servers by their weights; names the type",
    "providers/credentials.py": "spreads retries over time; names the type",
    "providers/dispatch.py": "spreads retries over time, by the system's generator",
    "providers/services.py": "spreads retries over time; names the type",
    "s2s/calling.py": "picks among servers by their weights, by the system's generator",
    "s2s/peers.py": "spreads reconnecting over time, by the system's generator",
}


def files() -> list[Path]:
    return [path for path in sorted(ROOT.glob("pushd/**/*.py")) if STAND_INS not in path.parents]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "pushd").as_posix()


def called(node: ast.expr) -> str:
    """The name that says what a value is: the last one of `a.b`, of `a.b[0]`, of `a.b.strip()`."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return called(value)
        case ast.Call(func=ast.Attribute(attr="hexdigest" | "reveal" as name)):
            return name
        case ast.Call(func=ast.Attribute(value=value)):
            return called(value)
        case ast.Call(func=ast.Name(id="str" | "bytes"), args=[value, *_]):
            return called(value)
    return ""


def is_secret(node: ast.expr) -> bool:
    name = called(node).lower().strip("_")
    return name in SECRET_KEYS or not SECRETS.isdisjoint(name.split("_"))


def comparisons(tree: ast.AST) -> Iterator[str]:
    """Each `==` and `!=` with a secret on one side; a constant of the source is none."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, ops=[ast.Eq() | ast.NotEq()], comparators=[right]):
                sides = (left, right)
                literal = any(
                    isinstance(one, ast.Constant) or called(one).isupper() for one in sides
                )
                if not literal and any(map(is_secret, sides)):
                    yield ast.unparse(node)


def imports_random(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name == "random" for name in names):
                return True
            case ast.ImportFrom(module="random"):
                return True
    return False


def test_secrets_are_compared_by_compare_digest() -> None:
    found = {
        (name_of(path), what)
        for path in files()
        for what in comparisons(ast.parse(path.read_text()))
    }

    assert found == set(MAY_COMPARE)


def test_what_is_random_and_no_secret_says_why() -> None:
    found = {name_of(path) for path in files() if imports_random(ast.parse(path.read_text()))}

    assert found == set(MAY_BE_RANDOM)


@pytest.mark.parametrize(
    "source",
    [
        "given == secret",
        "self._nonce != other",
        "stanza['a'] == tokens['b'] or token == given",
        "hashlib.sha1(id).hexdigest() == given",
        "one.reveal() == other.reveal()",
        "keys.stored_key == digest(client_key)",
        "str(password).strip() == given",
        "proof[0] == given",
        "push_secret == given",
    ],
)
def test_an_offence_is_seen(source: str) -> None:
    assert len(list(comparisons(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "hmac.compare_digest(proof, given)",
        "len(proof) != len(keys.stored_key)",
        "name == 'password'",
        "token.type == tokenize.COMMENT",
        "error.code == _INVALID_TOKEN",
        "mechanism == other",
        "tokens == limit",
    ],
)
def test_what_is_no_offence_is_let_be(source: str) -> None:
    assert list(comparisons(ast.parse(source))) == []


@pytest.mark.parametrize(
    "source", ["import random", "from random import choice", "import a, random"]
)
def test_each_way_to_random_is_seen(source: str) -> None:
    assert imports_random(ast.parse(source))
