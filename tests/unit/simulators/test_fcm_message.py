"""What FCM takes for a message, and the two kinds of refusal."""

import json
from typing import Any

import pytest

from pushd.simulators.fcm_message import Invalid, Message, Unreadable, check, read, target_of
from tests.unit.simulators.bench import note


def checked(message: Any, **beside: Any) -> Message:
    return check(read(json.dumps({"message": message} | beside).encode()))


def unreadable(message: Any, **beside: Any) -> Unreadable:
    with pytest.raises(Unreadable) as refused:
        checked(message, **beside)
    return refused.value


def invalid(message: Any) -> Invalid:
    with pytest.raises(Invalid) as refused:
        checked(message)
    return refused.value


def test_a_message_is_taken_as_it_is() -> None:
    message = checked(note("phone"))
    assert (message.token, message.content) == ("phone", note())


def test_names_may_be_written_in_camel_case() -> None:
    message = {"token": "phone", "android": {"collapseKey": "n3", "directBootOk": True}}
    assert checked(message, validateOnly=True).content == message


def test_a_null_is_as_good_as_nothing() -> None:
    assert checked(note(notification=None, topic=None)).token == "phone"


def test_everything_the_reference_lists_is_known() -> None:
    checked(
        {
            "fid": "cIg1fW_xQ0",
            "name": "ignored",
            "data": {},
            "notification": {"title": "a", "body": "b", "image": "https://example.net/i.png"},
            "android": {
                "collapse_key": "n3",
                "priority": "normal",
                "ttl": "3.5s",
                "restricted_package_name": "net.example.app",
                "data": {"a": "b"},
                "direct_boot_ok": False,
                "bandwidth_constrained_ok": True,
                "restricted_satellite_ok": True,
                "fcm_options": {"analytics_label": "x"},
                "notification": {
                    "title": "a",
                    "title_loc_key": "k",
                    "title_loc_args": ["1"],
                    "notification_count": 3,
                    "notification_priority": "PRIORITY_HIGH",
                    "visibility": "PRIVATE",
                    "proxy": "DENY",
                    "sticky": True,
                    "vibrate_timings": ["1s", "0.5s"],
                    "light_settings": {
                        "color": {"red": 1, "green": 0.5, "blue": 0, "alpha": 1},
                        "light_on_duration": "1s",
                        "light_off_duration": "1s",
                    },
                },
            },
            "apns": {
                "headers": {"apns-priority": "5"},
                "payload": {"aps": {"content-available": 1}},
                "live_activity_token": "t",
                "fcm_options": {"image": "i"},
            },
            "webpush": {"headers": {"TTL": "1"}, "data": {}, "notification": {"any": [1]}},
            "fcm_options": {"analytics_label": "x"},
        }
    )


# --- The parser's refusals ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "field", "words"),
    [
        (note(data={"a": "b", "n": 12}), "message.data[1].value", "(TYPE_STRING), 12"),
        (note(data={"a": True}), "message.data[0].value", "(TYPE_STRING), true"),
        (note(data={"a": {"b": "c"}}), "message.data[0].value", '(TYPE_STRING), {"b": "c"}'),
        (note(data=["a"]), "message.data", "Invalid value at 'message.data'"),
        (note(data="a"), "message.data", "Invalid value at 'message.data'"),
        (note(android="HIGH"), "message.android", "Expected an object"),
        ({"token": 7}, "message.token", "(TYPE_STRING), 7"),
        (note(android={"priority": "urgent"}), "message.android.priority", '"urgent"'),
        (note(android={"priority": 10}), "message.android.priority", "AndroidMessagePriority"),
        (note(android={"ttl": 86400}), "message.android.ttl", "duration must end with 's'"),
        (note(android={"ttl": "86400"}), "message.android.ttl", "duration must end with 's'"),
        (note(android={"ttl": "1d"}), "message.android.ttl", "duration must end with 's'"),
        (note(android={"ttl": "1e3s"}), "message.android.ttl", "duration must end with 's'"),
        (note(android={"direct_boot_ok": "true"}), "message.android.direct_boot_ok", "TYPE_BOOL"),
        (note(android={"collapse_key": 3}), "message.android.collapse_key", "TYPE_STRING"),
        (
            note(android={"notification": {"notification_count": 2**31}}),
            "message.android.notification.notification_count",
            "TYPE_INT32",
        ),
        (
            note(android={"notification": {"title_loc_args": "a"}}),
            "message.android.notification.title_loc_args",
            "Invalid value",
        ),
        (note(apns={"payload": "a"}), "message.apns.payload", "Struct"),
        (note(data={"a": "\ud800"}), "message.data[0].value", "not valid UTF-8"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(message: Any, field: str, words: str) -> None:
    [violation] = unreadable(message).violations
    assert violation.field == field
    assert words in violation.description


@pytest.mark.parametrize(
    "name",
    ["to", "registration_ids", "priority", "time_to_live", "collapse_key", "dry_run", "Token"],
)
def test_the_names_of_the_interface_before_are_unknown(name: str) -> None:
    """What a sender for the legacy interface would write at the top."""
    [violation] = unreadable(note(**{name: "x"})).violations
    assert violation.field == "message"
    assert f"Unknown name \"{name}\" at 'message': Cannot find field." in violation.description


def test_a_message_that_is_not_wrapped_is_unknown_at_the_root() -> None:
    with pytest.raises(Unreadable) as refused:
        check(read(json.dumps(note()).encode()))
    assert {violation.field for violation in refused.value.violations} == {""}
    assert 'Unknown name "token": Cannot find field.' in str(refused.value)


def test_all_that_does_not_parse_is_said_at_once() -> None:
    wrong = unreadable(note(data={"n": 1}, android={"ttl": 5, "colapse_key": "x"}), dry_run=True)
    assert [violation.field for violation in wrong.violations] == [
        "message.data[0].value",
        "message.android.ttl",
        "message.android",
        "",
    ]


def test_a_name_in_both_spellings_is_there_twice() -> None:
    wrong = unreadable(note(android={"collapse_key": "a", "collapseKey": "b"}))
    assert "is there twice" in str(wrong)


@pytest.mark.parametrize(
    "others", [{"topic": "news"}, {"condition": "'a' in topics"}, {"fid": "f"}]
)
def test_a_message_with_two_targets_is_refused(others: dict[str, str]) -> None:
    wrong = unreadable(note(**others))
    assert f"oneof field 'target' is already set. Cannot set '{next(iter(others))}'" in str(wrong)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"token=phone",
        b'{"message": {"token": "phone"}',
        b'{"message": {"token": "phone"}} {}',
        b'{"message": {"token": "\xff"}}',
        b'{"message": {"token": "phone", "apns": {"payload": {"n": NaN}}}}',
        b"[" * 100_000,
        b'{"message": {"token": "phone", "apns": {"payload": ' + b'{"a":' * 200 + b"1" + b"}" * 203,
        b"[1" + b"0" * 5000 + b"]",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^Invalid JSON payload received\. "):
        read(body)


@pytest.mark.parametrize("request_", [[], "text", 7, None])
def test_json_that_is_no_object_is_refused(request_: Any) -> None:
    with pytest.raises(Unreadable, match="Root element must be a message"):
        check(request_)


# --- FCM's refusals ------------------------------------------------------------------------


@pytest.mark.parametrize("message", [{}, {"data": {"a": "b"}}, {"token": ""}])
def test_a_message_for_nobody_is_refused(message: Any) -> None:
    wrong = invalid(message)
    assert str(wrong) == "Recipient of the message is not set."
    assert wrong.violation is not None
    assert wrong.violation.field == "message"


def test_a_request_without_a_message_is_refused() -> None:
    with pytest.raises(Invalid):
        check({"validate_only": True})


@pytest.mark.parametrize("token", ["two words", "a%3Ab", "a+b", "a\nb", '"phone"', "x" * 4097])
def test_a_token_that_was_mangled_on_its_way_is_refused(token: str) -> None:
    wrong = invalid(note(token))
    assert wrong.about_token
    assert str(wrong) == "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize("topic", ["/topics/news", "a b"])
def test_a_topic_with_other_characters_is_refused(topic: str) -> None:
    assert str(invalid({"topic": topic})) == "Topic name contains invalid characters."


@pytest.mark.parametrize(
    "key", ["from", "message_type", "google", "google.sent", "gcm", "gcm.notification", "googled"]
)
@pytest.mark.parametrize("platform", [None, "android", "webpush"])
def test_a_reserved_key_in_the_data_is_refused(key: str, platform: str | None) -> None:
    data = {"data": {"node": "1", key: "x"}}
    message = {"token": "phone"} | (data if platform is None else {platform: data})
    wrong = invalid(message)
    assert str(wrong) == f"Invalid data payload key: {key}"
    assert not wrong.about_token


@pytest.mark.parametrize("key", ["From", "fromm", "to", "collapse_key", "message-type", "xgcm"])
def test_a_key_that_only_resembles_a_reserved_one_is_taken(key: str) -> None:
    assert checked(note(data={key: "x"})).token == "phone"


@pytest.mark.parametrize("ttl", ["0s", "2419200s", "0.000000001s", "2419199.999999999s"])
def test_a_ttl_of_up_to_four_weeks_is_taken(ttl: str) -> None:
    assert checked(note(android={"ttl": ttl})).token == "phone"


@pytest.mark.parametrize("ttl", ["-1s", "2419201s", "1795000000s"])
def test_a_ttl_beyond_is_refused(ttl: str) -> None:
    wrong = invalid(note(android={"ttl": ttl}))
    assert wrong.violation is not None
    assert wrong.violation.field == "message.android.ttl"


def sized(size: int, target: str = "token") -> dict[str, Any]:
    """A message whose keys and values have so many bytes."""
    return {target: "x", "data": {"body": "ä" * 10, "rest": "x" * (size - 28)}}


def test_a_payload_of_4096_bytes_is_taken_and_one_more_is_not() -> None:
    assert checked(sized(4096)).token == "x"
    wrong = invalid(sized(4097))
    assert str(wrong) == "Message is too large. The maximum is 4K (4096 bytes)."
    assert wrong.violation is None
    assert not wrong.about_token


def test_a_topic_takes_half_of_that() -> None:
    assert checked(sized(2048, "topic")).token == ""
    assert "2048 bytes" in str(invalid(sized(2049, "topic")))


def test_the_texts_of_a_notification_count_as_well() -> None:
    message = sized(4090)
    assert checked(message | {"notification": {"body": "xx"}})
    with pytest.raises(Invalid):
        checked(message | {"notification": {"body": "xxx"}})


def test_a_platform_s_own_data_stands_in_the_place_of_the_common_data() -> None:
    own = {"android": {"data": {"a": "b"}}, "webpush": {"data": {"a": "b"}}}
    assert checked(sized(5000) | own).token == "x"
    with pytest.raises(Invalid, match="too large"):
        checked({"token": "x", "android": {"data": {"a": "b" * 4096}}})


# --- For the record --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"message": {"token": "phone", "x": 1}}, ("phone", {"token": "phone", "x": 1})),
        ({"message": {"token": 7}}, ("", {"token": 7})),
        ({"message": {"fid": "f"}}, ("f", {"fid": "f"})),
        ({"message": "text"}, ("", {"message": "text"})),
        (None, ("", None)),
    ],
)
def test_the_token_is_found_where_there_is_one(request_: Any, expected: Any) -> None:
    assert target_of(request_) == expected
