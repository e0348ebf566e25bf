"""docs/privacy.rst: its examples are what the code sends, and it names all that push stores."""

import re

import pytest

from pushd.providers import catalogue
from tests import examples
from tests.hall import Hall

PAGE = examples.PAGE.read_text(encoding="utf-8")
BLOCKS = dict(examples.BLOCK.findall(PAGE))
# As the specifications write them: a name that is misspelt in the code is not missed in both.
NAMES = (
    "http://jabber.org/protocol/pubsub",
    "http://jabber.org/protocol/pubsub#publish-options",
    "jabber:x:data",
    "urn:xmpp:push:0",
    "urn:xmpp:push:summary",
    "message-count",
    "last-message-sender",
    "last-message-body",
    "pending-subscription-count",
)
NETWORKS = ("FCM", "APNs", "Ubuntu", "UnifiedPush", "Webhook", "WebPush", "WNS")
WHOLE = frozenset(("queue", "sessions", "offline"))  # told of as a whole


@pytest.mark.mistake(7)
@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_an_example_is_what_the_code_sends(name: str) -> None:
    lines = [line.removeprefix("    ") for line in BLOCKS[name].rstrip("\n").split("\n")]
    assert examples.joined(lines) == examples.EXAMPLES[name](), "run: python -m tests.examples"


def test_there_are_no_other_examples() -> None:
    assert set(BLOCKS) == set(examples.EXAMPLES)


@pytest.mark.mistake(7)
def test_names_are_those_of_the_specifications() -> None:
    told = examples.EXAMPLES["publish with everything"]()
    named = re.findall(
        r"xmlns='([^']*)'|var='(?!FORM_TYPE|secret)([^']*)'|<value>(urn:[^<]+|http:[^<]+)<", told
    )
    assert {name for names in named for name in names if name} == {
        *NAMES,
        "last-subscription-sender",
    }


def test_what_nobody_may_learn_is_in_no_example() -> None:
    for name in ("publish by default", "publish of a call", "publish of a request"):
        assert "romeo" not in examples.EXAMPLES[name]()
        assert "paris" not in examples.EXAMPLES[name]()
    for name, made in examples.EXAMPLES.items():
        said = made()
        assert "OMEMO" not in said
        assert "TOKEN-OF-THE-DEVICE" not in said or name.startswith(NETWORKS)
        if name.startswith(NETWORKS):
            assert examples.SECRET not in said
            assert "juliet" not in said


def test_every_push_network_has_an_example() -> None:
    shown = {name.partition(" ")[0].lower() for name in examples.EXAMPLES}
    assert catalogue.types() <= shown


def test_every_table_and_column_of_push_is_named() -> None:
    hall = Hall()
    rows = hall.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    tables = [str(name) for (name,) in rows]
    about = r"push|registration|outbox|publisher|passers|token"
    about_push = [one for one in tables if re.search(about, one)]
    assert len(about_push) >= 6
    cells = {table: re.findall(r"``(\w+)``", cell) for table, cell in examples.CELL.findall(PAGE)}
    assert set(cells) == set(about_push)
    for table, named in cells.items():
        assert named == examples.columns(table), "run: python -m tests.examples"
    for table in WHOLE:
        assert f"``{table}``" in PAGE
