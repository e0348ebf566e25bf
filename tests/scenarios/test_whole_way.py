"""The main job, with slixmpp as phone and as friend; and again with a kill between any two steps.

The phone registers, enables push, loses its connection; three messages come, are pushed;
the phone resumes and has them all, in order and once. The server may be killed and started
again before any of these steps, or before a message is acknowledged to its sender.
"""

from collections.abc import Awaitable, Callable

from twisted.trial.unittest import TestCase

from pushd.wire import forms
from pushd.wire.element import Element, child, serialize, text
from pushd.wire.namespaces import (
    FORM_PUBLISH_OPTIONS,
    NS_CLIENT,
    NS_COMMANDS,
    NS_FORMS,
    NS_PUSH,
)
from tests.patience import LONGEST, PATIENCE
from tests.scenarios.foreign import Foreign
from tests.scenarios.harness import Server
from tests.scenarios.process import eventually

TOKEN = "phone:APA91bF-whole_way"

Step = Callable[["Way"], Awaitable[None]]


class Way:
    """The server, the phone and the friend, and what each of them knows."""

    def __init__(self, case: TestCase) -> None:
        self.case = case
        self.server: Server
        self.phone: Foreign
        self.friend: Foreign
        self.sent: list[str] = []
        self.got: list[str] = []
        self.node = ""
        self.secret = ""
        self.awake: list[Foreign] = []  # who has a connection

    async def begin(self, case: TestCase) -> None:
        self.server = await Server.start(case)
        self.phone = await Foreign.start(case)
        self.friend = await Foreign.start(case)

    async def kill(self) -> None:
        """SIGKILL, and a new start; who had a connection comes back by itself."""
        await self.server.kill()
        await self.server.restart()
        for one in self.awake:
            assert await one.resume(), "the session was lost"

    # The steps.

    async def log_in(self) -> None:
        await self.arrive(self.phone, "juliet", "phone")

    async def arrive(self, one: Foreign, user: str, resource: str) -> None:
        """An acknowledgement shows that stream management has begun."""
        await one.connect(self.server, user, resource)
        self.awake.append(one)
        await one.send("<presence/>")
        await one.acked()

    async def register(self) -> None:
        form = forms.submit(None, {"token": TOKEN, "device-name": "Juliet's phone"})
        result = await self.command("register-push-fcm", form)
        answered = forms.find(result)
        assert answered is not None
        self.node = answered.fields["node"][0]
        self.secret = answered.fields["secret"][0]

    async def enable(self) -> None:
        secret = forms.submit(FORM_PUBLISH_OPTIONS, {"secret": self.secret})
        jid = self.server.ready.push_host
        payload = (
            f"<enable xmlns='{NS_PUSH}' jid='{jid}' node='{self.node}'>"
            f"{serialize(secret).decode()}</enable>"
        )
        answer = await self.phone.iq("set", "", payload)
        assert answer["type"] == "result"

    async def befriend(self) -> None:
        await self.arrive(self.friend, "romeo", "orchard")

    async def sleep(self) -> None:
        self.awake.remove(self.phone)
        await self.phone.cut()
        await self.server.event("session-detached", lambda one: "juliet" in one["session"])

    async def write_one(self) -> None:
        await self.write(1)
        await self.friend.acked()

    async def write_two_more(self) -> None:
        await self.write(2)
        await self.friend.acked()

    async def write(self, count: int) -> None:
        for _ in range(count):
            self.sent.append(f"message {len(self.sent) + 1}")
            await self.friend.message(self.server.jid("juliet"), self.sent[-1])

    async def see_push(self) -> None:
        """A provider has taken a push that counts all that was sent."""
        await eventually(lambda: self.pushed() or None, PATIENCE, "push of everything")

    def pushed(self) -> bool:
        events = self.server.events()
        published = [
            place
            for place, event in enumerate(events)
            if event["event"] == "notification-published"
            and event["message_count"] == len(self.sent)
        ]
        return bool(published) and any(
            event["event"] == "provider-answered" and event["outcome"] == "accepted"
            for event in events[published[0] :]
        )

    async def wake(self) -> None:
        assert await self.phone.resume(), "the phone could not resume"
        self.awake.append(self.phone)
        for _ in self.sent:
            message = await self.phone.wait("message")
            self.got.append(text(child(message, NS_CLIENT, "body")))

    async def reply(self) -> None:
        await self.phone.message(self.friend.jid, "I have it all")
        await self.phone.acked()
        await self.friend.wait("message", contains="I have it all")

    async def unregister(self) -> None:
        await self.command("unregister-push", forms.submit(None, {"nodes": [self.node]}))
        listed = await self.command("list-push-registrations")
        assert child(listed, NS_FORMS, "x") is None
        await self.server.event("push-disabled")

    async def command(self, node: str, form: Element | None = None) -> Element:
        payload = serialize(form).decode() if form is not None else ""
        answer = await self.phone.iq(
            "set",
            self.server.ready.register_host,
            f"<command xmlns='{NS_COMMANDS}' node='{node}'>{payload}</command>",
        )
        command = child(answer, NS_COMMANDS, "command")
        assert command is not None, serialize(answer)
        assert command["status"] == "completed"
        return command

    async def check(self, repeated: bool = False) -> None:
        """Everything came, in order; and nothing twice that was acknowledged to its sender."""
        bodies = [text(child(one, NS_CLIENT, "body")) for one in await self.phone.inbox()]
        self.got += [body for body in bodies if body]
        assert list(dict.fromkeys(self.got)) == self.sent
        assert repeated or self.got == self.sent


STEPS: tuple[Step, ...] = (
    Way.log_in,
    Way.register,
    Way.enable,
    Way.befriend,
    Way.sleep,
    Way.write_one,
    Way.see_push,
    Way.write_two_more,
    Way.see_push,
    Way.wake,
    Way.reply,
    Way.unregister,
)


class WholeWayTest(TestCase):
    timeout = LONGEST

    async def test_a_message_to_a_sleeping_phone_becomes_a_push_and_nothing_is_lost(self) -> None:
        await self.go(None)

    async def go(self, killed_before: int | None) -> None:
        way = Way(self)
        await way.begin(self)
        for place, step in enumerate(STEPS):
            if place == killed_before:
                await way.kill()
            await step(way)
        await way.check()

    async def test_a_kill_before_the_acknowledgement_loses_nothing(self) -> None:
        way = Way(self)
        await way.begin(self)
        for step in STEPS[:5]:
            await step(way)
        await way.write(3)
        await way.kill()
        await way.friend.acked()
        await way.see_push()
        await way.wake()
        await way.check(repeated=True)

    async def test_messages_on_their_way_to_a_waking_phone_survive_a_kill(self) -> None:
        way = Way(self)
        await way.begin(self)
        for step in STEPS[:8]:
            await step(way)
        await way.wake()
        await way.kill()
        await way.check()


def _killed_before(place: int) -> Callable[[WholeWayTest], Awaitable[None]]:
    async def test(self: WholeWayTest) -> None:
        await self.go(place)

    return test


for _place, _step in enumerate(STEPS):
    _name = f"test_a_kill_before_step_{_place:02}_{_step.__name__}_loses_nothing"
    setattr(WholeWayTest, _name, _killed_before(_place))
