"""Whatever services answer, and whenever: every push ends in time and gives its turn back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from pushd.providers.attempts import Expired, Result
from pushd.providers.contract import (
    Accepted,
    Busy,
    Device,
    Failed,
    Limits,
    Notification,
    Refused,
    Scope,
    Secret,
    Unregistered,
)
from pushd.providers.dispatch import Dispatcher
from pushd.providers.fcm import DATA_LIMIT, data, size
from tests.unit.providers.bench import (
    NOW,
    UNREACHABLE,
    FakeTransport,
    Fixed,
    Obedient,
    Voucher,
    device,
    token,
)

ANSWERS = st.sampled_from([200, 400, 401, 403, 404, 406, 409, 413, 429, 502, 503, UNREACHABLE])
TEXT = st.none() | st.text(max_size=3000)
COUNT = st.none() | st.integers(0, 10**6)


def settle(clock: Clock, transport: FakeTransport, answers: list[int | Failed]) -> list[float]:
    """Let time pass until nothing is left to happen; returns when requests were sent."""
    sent_at: list[float] = []
    while True:
        while len(sent_at) < len(transport.sent):
            sent_at.append(clock.seconds())
            transport.sent[len(sent_at) - 1].answer(answers.pop(0) if answers else 503)
        calls = clock.getDelayedCalls()
        if not calls:
            return sent_at
        clock.advance(max(0.0, min(call.getTime() for call in calls) - clock.seconds()))


@given(
    answers=st.lists(ANSWERS, max_size=60),
    ends=st.lists(st.floats(1, 5000), min_size=1, max_size=8),
    concurrency=st.integers(1, 3),
    point=st.floats(0, 1),
    after=st.none() | st.floats(0, 2000),
    has_credential=st.booleans(),
)
def test_every_push_ends_by_its_time_and_gives_its_turn_back(
    answers: list[int | Failed],
    ends: list[float],
    concurrency: int,
    point: float,
    after: float | None,
    has_credential: bool,
) -> None:
    clock = Clock()
    clock.advance(NOW)
    provider = Obedient()
    provider.outcomes[503] = Busy(after, Scope.BACKEND, "503")
    if has_credential:
        provider.fetched = Voucher(*[token(str(number), life=1e9) for number in range(200)])
    transport = FakeTransport()
    dispatcher = Dispatcher(clock, transport, random=Fixed(point))
    dispatcher.add("main", provider, Limits(concurrency))
    ended: dict[int, tuple[Result, float]] = {}

    async def push(number: int, said: Notification, target: Device) -> None:
        result = await dispatcher.push("main", lambda: said, lambda: target)
        ended[number] = (result, clock.seconds())

    for number, life in enumerate(ends):
        said = Notification(f"node-{number}", number, expires_at=NOW + life)
        Deferred.fromCoroutine(push(number, said, device(f"token-{number}")))
    settle(clock, transport, answers)
    assert len(ended) == len(ends)
    for number, (result, at) in ended.items():
        assert isinstance(result, Accepted | Unregistered | Refused | Expired)
        assert at <= NOW + ends[number] + 0.001
    assert dispatcher.pending("main") == 0
    assert dispatcher.health("main").active == 0


@given(answers=st.lists(st.sampled_from([429, 403, UNREACHABLE]), max_size=20))
def test_nothing_is_said_again_before_the_floor(answers: list[int | Failed]) -> None:
    clock = Clock()
    clock.advance(NOW)
    transport = FakeTransport()
    dispatcher = Dispatcher(clock, transport, random=Fixed())
    dispatcher.add("main", Obedient())
    said = Notification("node-1", 1, expires_at=NOW + 3000)
    push = dispatcher.push("main", lambda: said, device)
    Deferred.fromCoroutine(push)
    sent_at = settle(clock, transport, answers)
    assert all(after - before >= Obedient.floor - 1e-6 for before, after in pairwise(sent_at))


@given(COUNT, COUNT, TEXT, TEXT, TEXT, st.booleans())
def test_any_notification_fits_into_a_message_of_fcm(
    messages: int | None,
    subscriptions: int | None,
    sender: str | None,
    body: str | None,
    subscriber: str | None,
    shrink: bool,
) -> None:
    said = Notification(
        "node-1",
        messages,
        subscriptions,
        sender,
        None if body is None else Secret(body),
        subscriber,
    )
    made = data(said, shrink)
    assert size(made) <= DATA_LIMIT
    assert made["node"] == "node-1"
    assert made.get("message-count") == (None if messages is None else str(messages))
    if "last-message-body" in made:
        assert not shrink
        assert made.get("last-message-sender") == sender
