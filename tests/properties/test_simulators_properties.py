"""Stand-ins: whatever is sent to them, they take it or refuse it, and nothing else happens."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushd.simulators.assertions import AssertionRefused, check
from pushd.simulators.fcm_message import MAX_PAYLOAD, Invalid, Unreadable, read, target_of
from pushd.simulators.fcm_message import check as check_message

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["message", "token", "topic", "data", "android", "ttl", "from"])
            | st.text(),
            inner,
        )
    ),
)


@given(st.text())
def test_a_text_that_nobody_signed_is_an_invalid_grant(assertion: str) -> None:
    with pytest.raises(AssertionRefused) as refused:
        check(assertion, {}, "https://fcm.test/token", 0.0)
    assert refused.value.error == "invalid_grant"


@given(JSON)
def test_any_json_is_taken_for_a_message_or_refused(value: Any) -> None:
    with contextlib.suppress(Unreadable, Invalid):
        check_message(value)
    token, _ = target_of(value)
    assert isinstance(token, str)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        read(body)


VALUES = st.builds(str.__mul__, st.sampled_from(["x", "ä", "€", "🙂"]), st.integers(0, 1500))


@given(st.dictionaries(st.from_regex(r"[a-e]{1,9}", fullmatch=True), VALUES))
def test_a_payload_is_refused_exactly_beyond_its_size(data: dict[str, str]) -> None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in data.items())
    request = {"message": {"token": "phone", "data": data}}
    if size <= MAX_PAYLOAD:
        assert check_message(request).token == "phone"
    else:
        with pytest.raises(Invalid, match="too large"):
            check_message(request)
