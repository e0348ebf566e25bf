"""Who has an account on the servers that are compared, and how each of them keeps it.

Passwords are stored hashed, with the number of rounds that is the server's own default.
All accounts share password and salt, so that thousands are made, and log in, without the
sum of PBKDF2 for each; the servers do not know, and are spared nothing.
"""

import base64
import hashlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.routing.accounts import Accounts
from pushd.routing.events import Events
from pushd.storage.lock import DATABASE
from pushd.storage.sqlite import Database, InlineRunner
from pushd.wire.scram import ScramKeys, derive

DOMAIN = "bench.example"
PASSWORD = "a long enough password"
SALT = b"the salt of all."
STAR = "star"  # who has contacts, where anybody has


@dataclass(frozen=True)
class Population:
    """`users` accounts without contacts; with `contacts`, STAR and as many who see one another."""

    users: int = 0
    contacts: int = 0

    def names(self) -> list[str]:
        """Everybody."""
        watched = [STAR, *self.fans()] if self.contacts else []
        return [*(f"u{number:04}" for number in range(self.users)), *watched]

    def fans(self) -> list[str]:
        """The contacts of STAR."""
        return [f"c{number:04}" for number in range(self.contacts)]

    def rosters(self) -> Iterator[tuple[str, list[str]]]:
        """Who has contacts, with the bare JIDs of these."""
        if self.contacts:
            yield STAR, [f"{name}@{DOMAIN}" for name in self.fans()]
            for name in self.fans():
                yield name, [f"{STAR}@{DOMAIN}"]


ONLINE = 1_000  # sessions, where many are needed
PEOPLE = Population(users=ONLINE + 10)


def write_pushd(population: Population, data: Path) -> None:
    """The database of pushd in the folder `data`."""
    data.mkdir(parents=True, exist_ok=True)
    file = data / DATABASE
    clock = Clock()
    clock.advance(time.time())
    database = Database(str(file), clock, InlineRunner())
    database.open()
    accounts = Accounts(clock, database, Events())
    keys = {name: derive(name, PASSWORD, SALT) for name in ("SHA-1", "SHA-256", "SHA-512")}
    for user in population.names():
        Deferred.fromCoroutine(accounts.add(f"{user}@{DOMAIN}", dict(keys)))
    for user, contacts in population.rosters():
        for contact in contacts:
            database.write(
                "INSERT INTO roster (account, jid, subscription) VALUES (?, ?, 'both')",
                (f"{user}@{DOMAIN}", contact),
            )
    database.close()
    for _ in range(10):
        clock.advance(0)
    with sqlite3.connect(file) as connection:
        (count,) = connection.execute("SELECT COUNT(*) FROM accounts").fetchone()
    connection.close()
    if count != len(population.names()):
        raise OSError(f"{file} has {count} accounts")


def write_prosody(population: Population, data: Path) -> None:
    """Prosody's internal storage (its `internal_hashed` keys are of SCRAM-SHA-1)."""
    folder = data / DOMAIN.replace(".", "%2e")
    keys = _sha1_keys(10_000)
    for name in ("accounts", "roster"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for user in population.names():
        (folder / "accounts" / f"{user}.dat").write_text(
            "return {\n"
            f'["iteration_count"] = {keys.iterations};\n["salt"] = "{keys.salt.decode()}";\n'
            f'["stored_key"] = "{keys.stored_key.hex()}";\n'
            f'["server_key"] = "{keys.server_key.hex()}";\n}};\n'
        )
    for user, contacts in population.rosters():
        items = "".join(
            f'["{contact}"] = {{ ["subscription"] = "both"; ["groups"] = {{}}; }};\n'
            for contact in contacts
        )
        head = '[false] = { ["version"] = 1; ["pending"] = {}; };\n'
        (folder / "roster" / f"{user}.dat").write_text(f"return {{\n{head}{items}}};\n")


def portable(population: Population) -> str:
    """The document of XEP-0227 that ejabberd imports; its keys are written as it exports them."""
    keys = _sha1_keys(4_096)
    parts = (keys.stored_key, keys.server_key, keys.salt)
    texts = [base64.b64encode(base64.b64encode(part)).decode() for part in parts]
    password = quoteattr(",".join([f"scram:{texts[0]}", *texts[1:], str(keys.iterations)]))
    rosters = dict(population.rosters())

    def roster(user: str) -> str:
        items = "".join(
            f"<item jid={quoteattr(contact)} subscription='both'/>"
            for contact in rosters.get(user, ())
        )
        return f"<query xmlns='jabber:iq:roster'>{items}</query>" if items else ""

    users = "".join(
        f"<user name='{user}' password={password}>{roster(user)}</user>"
        for user in population.names()
    )
    return (
        "<?xml version='1.0' encoding='UTF-8'?>"
        f"<server-data xmlns='urn:xmpp:pie:0'><host jid='{DOMAIN}'>{users}</host></server-data>"
    )


def _sha1_keys(rounds: int) -> ScramKeys:
    return derive("SHA-1", PASSWORD, SALT, rounds)


def salted(digest: str, salt: bytes, rounds: int) -> bytes:
    """The sum that a client makes of its password; remembered, as all accounts have one salt."""
    known = _SUMS.get((digest, salt, rounds))
    if known is None:
        known = hashlib.pbkdf2_hmac(digest, PASSWORD.encode(), salt, rounds)
        _SUMS[digest, salt, rounds] = known
    return known


_SUMS: dict[tuple[str, bytes, int], bytes] = {}
