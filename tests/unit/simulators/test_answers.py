"""One scripted answer, in Python and as JSON."""

from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from pushd.simulators.answers import Answer, Ending, ScriptError

NOW = 1_795_000_000.0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(),
        Answer(error="GONE", times=None),
        Answer(error="BUSY", status=500, retry_after=7, delay=0.5, times=3),
        Answer(retry_after_date=30, headers={"X-Thing": "1"}, body="<html>"),
        Answer(ending=Ending.ENDLESS, lifetime=0),
    ],
)
def test_an_answer_as_json_reads_as_itself(answer: Answer) -> None:
    assert Answer.from_json(answer.as_json()) == answer


def test_a_plain_answer_as_json_says_only_how_often() -> None:
    assert Answer().as_json() == {"times": 1}


def test_retry_after_goes_out_as_seconds_or_as_a_date() -> None:
    assert Answer(retry_after=7).extra_headers(NOW) == {"Retry-After": "7"}
    date = Answer(retry_after_date=30).extra_headers(NOW)["Retry-After"]
    assert date.endswith(" GMT")
    assert parsedate_to_datetime(date).timestamp() == NOW + 30


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("UNREGISTERED", "an answer is an object"),
        ({"eror": "GONE"}, "an answer has no 'eror'; it has error, status"),
        ({"error": 7}, "error must be text, not 7"),
        ({"status": 99}, "status must be a whole number from 200 to 599, not 99"),
        ({"status": "200"}, "status must be a whole number"),
        ({"status": True}, "status must be a whole number"),
        ({"retry_after": -1}, "retry_after must be a whole number of 0 or more, not -1"),
        ({"retry_after": 1.5}, "retry_after must be a whole number"),
        ({"retry_after_date": 10**12}, "retry_after_date must be a whole number"),
        ({"retry_after": 1, "retry_after_date": 1}, "exclude each other"),
        ({"delay": -0.1}, "delay must be 0 to 86400 seconds"),
        ({"delay": "1"}, "delay must be 0 to 86400 seconds"),
        ({"delay": float("nan")}, "delay must be 0 to 86400 seconds"),
        ({"times": 0}, "times must be a whole number of 1 or more"),
        ({"lifetime": -1}, "lifetime must be a whole number"),
        ({"body": {}}, "body must be text"),
        ({"headers": []}, "headers must be an object"),
        ({"headers": {"X-Thing": 1}}, "the header 'X-Thing' must be text"),
        ({"headers": {"X-Thing": "a\r\nX-Other: b"}}, "characters that HTTP does not carry"),
        ({"headers": {"X Thing": "a"}}, "characters that HTTP does not carry"),
        ({"ending": "later"}, "ending must be one of whole, stall, cut, truncated, endless"),
        ({"ending": []}, "ending must be one of"),
    ],
)
def test_what_cannot_be_is_refused_in_words(value: Any, words: str) -> None:
    with pytest.raises(ScriptError) as refused:
        Answer.from_json(value)
    assert words in str(refused.value)
