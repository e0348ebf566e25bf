"""Header fields that treq and agents may treat as Twisted's."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http_headers import Headers

from pushd.net.fields import Fields

NAMES = st.sampled_from(["accept", "Accept", "x-odd", b"X-Odd", b"content-type", "Host"])
VALUES = st.sampled_from(["a", b"b", "c d", b"", "ä"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("addRawHeader"), NAMES, VALUES),
        st.tuples(st.just("setRawHeaders"), NAMES, st.lists(VALUES, max_size=3)),
        st.tuples(st.just("removeHeader"), NAMES),
        st.tuples(st.just("copy")),
    ),
    max_size=20,
)


def all_of(headers: Headers) -> dict[bytes, list[bytes]]:
    return {name.lower(): list(values) for name, values in headers.getAllRawHeaders()}


@given(STEPS)
def test_they_do_what_twisteds_do(steps: list[tuple[Any, ...]]) -> None:
    ours: Headers = Fields()
    theirs = Headers()
    left: list[tuple[Headers, dict[bytes, list[bytes]]]] = []
    for step, *arguments in steps:
        if step == "copy":
            left.append((ours, all_of(ours)))
            ours, theirs = ours.copy(), theirs.copy()
        else:
            getattr(ours, step)(*arguments)
            getattr(theirs, step)(*arguments)
        assert all_of(ours) == all_of(theirs)
        name: Any
        for name in ("accept", b"x-odd", "HOST"):
            assert ours.hasHeader(name) == theirs.hasHeader(name)
            assert ours.getRawHeaders(name, ["none"]) == theirs.getRawHeaders(name, ["none"])
    for original, before in left:  # what was copied is as it was
        assert all_of(original) == before


def test_their_repr_names_no_value() -> None:
    assert repr(Fields({b"authorization": [b"bearer x"]})) == "<Fields [b'authorization']>"


def test_they_are_equal_when_they_say_the_same() -> None:
    assert Fields({b"a": [b"b"]}) == Fields({b"a": [b"b"]})
    assert Fields({b"a": [b"b"]}) != Fields()
