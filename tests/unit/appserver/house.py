"""Both halves of push put together as in a server, with an operator who asks."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from pushd.admin.operations import Operations
from pushd.admin.pushes import Pushes, PushRecords, Whose
from pushd.appserver.shown import Shown
from pushd.providers.contract import Response
from pushd.providers.dispatch import Dispatcher
from pushd.routing.events import ServerStarted
from pushd.wire import forms
from pushd.wire.element import serialize
from pushd.wire.namespaces import FORM_PUBLISH_OPTIONS
from tests.hall import Client, Hall
from tests.support import result_of
from tests.unit.appserver.stage import JULIET, PHONE, PUBSUB, Stage, app, register
from tests.unit.providers.bench import FakeTransport

ROMEO = "romeo@example.net"
ELSEWHERE = "push.elsewhere.example"
BACKEND = "post/example.net/any"
TOKEN = "token4711"
SECRET = "secret of another service"


class House:
    """See the module's text. Providers answer with the HTTP status `status`."""

    def __init__(self, path: Path | str = ":memory:", status: int = 200) -> None:
        self.transport = FakeTransport(lambda request: Response(self.status))
        self.status = status
        self.dispatcher: Dispatcher

        def dispatcher(hall: Hall) -> Dispatcher:
            self.dispatcher = Dispatcher(hall.clock, self.transport, hall.host.events.emit)
            for one in apps:
                self.dispatcher.add(one.name, one.provider)
            return self.dispatcher

        apps = (app(BACKEND),)
        self.stage = Stage(
            apps,
            path=path,
            modules=dict.fromkeys(("offline", "push", "devices")),
            dispatcher=dispatcher,
        )
        self.hall = self.stage.hall
        host = self.host = self.hall.host
        host.push.registrations = Shown(self.stage.server)
        host.router.add_host(ELSEWHERE, lambda stanza: None)  # which never answers
        self.hall.add_account(JULIET)
        self.hall.add_account(ROMEO)
        whose = Whose(host.domains, host.accounts)
        self.pushes = Pushes(
            host.clock, whose, host.database, host.push, host.decisions, self.dispatcher
        )
        self.operations = Operations(
            PushRecords(whose, host.push, host.push, host.ledger), self.pushes
        )
        host.events.emit(ServerStarted())
        self.hall.advance(0)

    def ask(self, name: str, **arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = self.hall.wait(self.operations.call(f"push-{name}", arguments))
        return found

    def waited(self, name: str, seconds: float, **arguments: str) -> dict[str, Any]:
        """The same, with so much time for the answer."""
        asking = Deferred.fromCoroutine(self.operations.call(f"push-{name}", arguments))
        self.hall.advance(0)
        self.hall.advance(seconds)
        found: dict[str, Any] = result_of(asking)
        return found

    def phone(self, address: str = PHONE, *, enabled: bool = True, **fields: str) -> Client:
        """A phone that has registered, and enabled push."""
        phone = self.hall.login(address, sm=True)
        self.node, secret = register(phone, token=TOKEN + phone.session.jid.resource, **fields)
        if enabled:
            enable(phone, PUBSUB, self.node, secret)
        phone.acknowledge()
        phone.received()
        return phone

    def write(self, to: str = JULIET) -> None:
        romeo = self.hall.login(f"{ROMEO}/o", available=False)
        romeo.send(f"<message to='{to}' type='chat'><body>But soft</body></message>")
        romeo.close()
        self.hall.advance(1)


def enable(phone: Client, service: str, node: str, secret: str) -> None:
    form = serialize(forms.submit(FORM_PUBLISH_OPTIONS, {"secret": secret})).decode()
    at = f" node='{node}'" if node else ""
    answer = phone.ask(
        f"<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='{service}'{at}>"
        f"{form}</enable></iq>"
    )
    assert answer["type"] == "result", answer.toXml()
