"""Whatever is to be told, and to whom: APNs takes it, as its stand-in reads Apple's documents."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from pushd.providers.apns import APNs, Options
from pushd.providers.contract import Device, Notification, Secret, Sending, Token
from pushd.simulators import apns_push
from pushd.simulators.apns_push import Push
from pushd.simulators.apns_tokens import Key, Verifier
from tests.unit.providers.bench import DAY, NOW

TEXT = st.none() | st.text(max_size=3000)
COUNT = st.none() | st.integers(0, 10**6)
KEY = Key.made_up()
TRUTHS = st.sampled_from([None, "", "0", "1", "false", "true"])
ENVIRONMENTS = st.sampled_from([None, "", "production", "sandbox"])


def made() -> APNs:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "key.p8"
        file.write_text(KEY.pem)
        return APNs(
            Options(key_file=file, key_id=KEY.id, team_id=KEY.team, topic="com.example.app")
        )


PROVIDER = made()


@given(
    note=st.builds(
        Notification,
        node=st.text(min_size=1, max_size=200),
        message_count=COUNT,
        pending_subscription_count=COUNT,
        last_message_sender=TEXT,
        last_message_body=TEXT.map(lambda text: None if text is None else Secret(text)),
        last_subscription_sender=TEXT,
        urgent=st.booleans(),
        expires_at=st.none() | st.floats(NOW - DAY, NOW + 60 * DAY),
    ),
    raw=st.binary(min_size=32, max_size=100),
    silent=TRUTHS,
    environment=ENVIRONMENTS,
    shrink=st.booleans(),
    later=st.floats(0, 1e6),
)
def test_any_notification_is_one_that_apns_takes(
    note: Notification,
    raw: bytes,
    silent: str | None,
    environment: str | None,
    shrink: bool,
    later: float,
) -> None:
    fields = {"silent-push": silent, "environment": environment}
    device = Device(Secret(raw.hex()), fields={k: v for k, v in fields.items() if v is not None})
    now = NOW + later
    credential = PROVIDER.credential("production")
    assert credential is not None
    token = credential.request(now)
    assert isinstance(token, Token)
    sending = Sending("6c3f7a0e-0000-4000-8000-000000000001", token.value, shrink)

    request = PROVIDER.request(note, device, now, sending)

    push = Push()
    pairs = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    headers = apns_push.once(pairs)
    apns_push.read_headers(push, headers, now)
    apns_push.read_payload(push, request.body)
    apns_push.check_topic(push)
    path = "/" + request.url.split("/", 3)[3]
    assert apns_push.check_token(apns_push.token_in(path)) == raw.hex()
    assert push.remarks == []
    verifier = Verifier()
    verifier.keys[KEY.id] = KEY
    assert verifier.check(headers["authorization"], now).key is KEY
    is_silent = silent in ("1", "true")
    assert push.priority == (10 if push.push_type == "alert" else 5)
    assert not (is_silent and push.push_type == "alert")
    if shrink:
        assert "last-message-body" not in push.message
    if "last-message-body" in push.message:
        assert push.message.get("last-message-sender") == note.last_message_sender
