"""The player of transcripts: how they are read, filled in and compared."""

import pytest

from pushd.wire.element import parse
from tests.scenarios.play import Mistake, difference, fill, read

TRANSCRIPT = """\
# A conversation.
Juliet's phone connects as juliet/phone with stream management

Juliet's phone sends
  <message>
    <body>a</body>
  </message>
Romeo receives nothing
"""


def test_a_transcript_is_read_step_by_step() -> None:
    steps = list(read(TRANSCRIPT))
    assert [(step.line, step.who, step.verb, step.rest) for step in steps] == [
        (2, "Juliet's phone", "connects as", "juliet/phone with stream management"),
        (4, "Juliet's phone", "sends", ""),
        (8, "Romeo", "receives nothing", ""),
    ]
    assert steps[1].stanza == "<message>\n  <body>a</body>\n</message>"


@pytest.mark.parametrize(
    ("transcript", "line"),
    [
        ("Romeo sends\n", "line 1"),
        ("\nRomeo closes\n  <a/>\n", "line 2"),
        ("# a\nRomeo sings\n", "line 2"),
    ],
)
def test_what_is_no_step_is_named_by_its_line(transcript: str, line: str) -> None:
    with pytest.raises(Mistake) as caught:
        list(read(transcript))
    assert str(caught.value).startswith(line)


def test_names_are_filled_in_and_escaped() -> None:
    assert fill("<a b='{x}'>{x}</a>", {"x": "'<"}) == "<a b='&apos;&lt;'>&apos;&lt;</a>"
    with pytest.raises(Mistake):
        fill("<a b='{x}'/>", {})


def compared(expected: str, got: str, **known: str) -> tuple[str, dict[str, str]]:
    return difference(parse(expected.encode()), parse(got.encode()), known), known


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("<a b='1' c='2'/>", '<a c="2" b="1"></a>'),
        ("<a>\n  <b/>\n  <c/>\n</a>", "<a><b/><c/></a>"),
        ("<a/>", "<a xml:lang='en'/>"),
        ("<a xml:lang='en'/>", "<a xml:lang='en'/>"),
        ("<a b='{_}'>{_}</a>", "<a b='1'>2</a>"),
        ("<a b='{x}'/>", "<a b='1'/>"),
        ("<x:a xmlns:x='u'/>", "<a xmlns='u'/>"),
    ],
)
def test_what_means_the_same_is_the_same(expected: str, got: str) -> None:
    assert compared(expected, got, x="1")[0] == ""


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("<a/>", "<b/>"),
        ("<a/>", "<a xmlns='u'/>"),
        ("<a b='1'/>", "<a b='2'/>"),
        ("<a/>", "<a b='1'/>"),
        ("<a b='1'/>", "<a/>"),
        ("<a xml:lang='de'/>", "<a xml:lang='en'/>"),
        ("<a>x</a>", "<a>y</a>"),
        ("<a><b/><c/></a>", "<a><c/><b/></a>"),
        ("<a><b/></a>", "<a><b/><b/></a>"),
        ("<a><b>x</b></a>", "<a><b>y</b></a>"),
        ("<a b='{x}'/>", "<a b='2'/>"),
        ("<a b='{new}' c='{new}'/>", "<a b='1' c='2'/>"),
    ],
)
def test_what_differs_is_told(expected: str, got: str) -> None:
    assert compared(expected, got, x="1")[0] != ""


def test_unknown_names_are_captured() -> None:
    wrong, known = compared("<a b='id-{id}'><c>{text}</c></a>", "<a b='id-7'><c>x</c></a>")
    assert wrong == ""
    assert known == {"id": "7", "text": "x"}
