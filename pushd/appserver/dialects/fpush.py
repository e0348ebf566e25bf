"""Monal and fpush: nobody registers, the node of a publish is the device's token.

The publish-options say by `pushModule` which app it is of, wherever that stands among them;
with `-sandbox` behind its name, of an app that is being developed. Only backends that list
the module are reached so (`push_modules`).
"""

import json
from collections.abc import Sequence

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk
from pushd.appserver.passing import NAME, Passer, Passing
from pushd.appserver.publishes import option
from pushd.appserver.registrations import Registration
from pushd.wire.errors import BadRequest, ItemNotFound, ServiceUnavailable
from pushd.wire.jid import JID
from pushd.wire.letter import Node
from pushd.wire.secret import Secret

MODULE = "pushModule"
SANDBOX = "-sandbox"
ENVIRONMENT = "environment"  # the field of a provider that has a sandbox


class Occupied(ServiceUnavailable):
    """A push of another module waits for the token, for now (see `pubsub.NotNow`)."""

    type = "wait"


class Fpush:
    """Who is published to at one pubsub_host without having registered."""

    def __init__(self, desk: Desk, apps: Sequence[App], passing: Passing) -> None:
        self._desk = desk
        self._passing = passing
        self._modules: dict[str, tuple[App, dict[str, str]]] = {}
        for app in apps:
            if ENVIRONMENT in app.provider.optional_fields:
                for name in app.push_modules:
                    self._modules.setdefault(name + SANDBOX, (app, {ENVIRONMENT: "sandbox"}))
        for app in apps:  # what is listed by its whole name is that
            self._modules |= {name: (app, {}) for name in app.push_modules}

    def find(self, sender: JID, node: str, pubsub: Node) -> Registration | None:
        """The device that a publish is for; None if it is not in this dialect.

        Raises Forbidden, BadRequest, ItemNotFound for a dead token, Occupied and TooMany.
        """
        module = option(pubsub, MODULE)
        if not module or module not in self._modules or not self._desk.speaks(NAME):
            return None
        self._desk.check_access(sender)
        app, fields = self._modules[module]
        registration = _passer(node, sender.domain, app, fields)
        if self._passing.is_dead(registration):
            raise ItemNotFound("the device with this token is gone")
        known = self._passing.get(node)
        if known is not None and (known.backend, known.fields) != (app.name, registration.fields):
            raise Occupied(f"{MODULE}: a push of another module waits for this device")
        self._passing.check_room(node, sender.domain)
        return known or registration


def _passer(node: str, publisher: str, app: App, fields: dict[str, str]) -> Registration:
    given = {"token": node, **fields}
    try:
        app.provider.check(given)
    except ValueError as error:
        raise BadRequest(f"node: {error}") from None
    stored = app.provider.stored(given)
    token = Secret(stored.pop("token"))
    kept = Secret(json.dumps(stored))
    type, name = app.provider.type, app.app_name
    return Passer(node, publisher, app.name, type, name, kept, token).registration()
