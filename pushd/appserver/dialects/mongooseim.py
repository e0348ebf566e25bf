"""MongooseIM's way: a client makes a pubsub node of type `push`, and says who may publish.

XEP-0060 §8.1 (create), §8.4 (delete) and §8.9 (affiliations), as far as MongooseIM's guide for
clients goes. What device the node is of comes with each publish, among its options:
`service` and `device_id`, and of the others `mode`, `topic` and `silent`; the rest, which is
for MongoosePush, is passed over. There is no secret: the account and its server may publish,
and whom its owner lets.
"""

import secrets

from pushd.appserver.apps import App
from pushd.appserver.desk import Desk, Place
from pushd.appserver.device_forms import LONGEST_NAME
from pushd.appserver.publishes import condition, option
from pushd.appserver.registrations import Registration
from pushd.providers.contract import BadField
from pushd.routing.disco import Info
from pushd.routing.requests import IQ
from pushd.wire.element import Element, element
from pushd.wire.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ItemNotFound,
    JIDMalformed,
    NotAcceptable,
)
from pushd.wire.jid import parse
from pushd.wire.letter import FORM, Node, form_of, named, unsealed
from pushd.wire.namespaces import NS_PUBSUB
from pushd.wire.secret import Secret

NAME = "mongooseim"
NS_OWNER = f"{NS_PUBSUB}#owner"
FORM_CONFIG = f"{NS_PUBSUB}#node_config"
FEATURES = tuple(
    f"{NS_PUBSUB}#{name}"
    for name in (
        "create-and-configure",
        "create-nodes",
        "delete-nodes",
        "instant-nodes",
        "modify-affiliations",
    )
)
MOST_PUBLISHERS = 20  # whom the owner of a node lets publish
SANDBOXES = {"": False, "prod": False, "dev": True}  # by `mode`
TRUTHS = {"true": "1", "1": "1", "false": "0", "0": "0"}
PUBLISH_ONLY, MAY_NOT = frozenset({"publish-only", "publisher"}), frozenset({"none", "outcast"})
_CREATE, _CONFIGURE = named(NS_PUBSUB, "create"), named(NS_PUBSUB, "configure")
_DELETE, _AFFILIATIONS = named(NS_OWNER, "delete"), named(NS_OWNER, "affiliations")
_AFFILIATION = named(NS_OWNER, "affiliation")


class MongooseIM:
    """The nodes that clients make at one pubsub_host."""

    def __init__(self, desk: Desk, place: Place) -> None:
        self._desk = desk
        self._apps = [app for app in place.apps if app.provider.register_fields == {"token"}]
        desk.host.disco.add_info(place.domain, self._about)

    def _about(self, request: IQ) -> Info:
        return Info(features=FEATURES if self._is_on else ())

    @property
    def _is_on(self) -> bool:
        return bool(self._apps) and self._desk.speaks(NAME)

    # Making nodes.

    async def create(self, request: IQ, pubsub: Node) -> Element | None:
        """Make a node of type `push`, if that is asked for; else None."""
        create = pubsub.find(_CREATE)
        if create is None or create.get("type") != "push" or not self._is_on:
            return None
        self._desk.check_access(request.sender)
        self._desk.check_rate(request.sender)
        node = create.get("node") or secrets.token_urlsafe(16)
        if len(node.encode()) > LONGEST_NAME:
            raise NotAcceptable(f"node: it has {LONGEST_NAME} bytes at most")
        _check_configuration(pubsub.find(_CONFIGURE))
        if self._desk.registrations.called(node):
            raise Conflict("node: there is one of this name")
        # Of which app it is, the first publish tells.
        await self._desk.register(
            request.sender, self._apps[0], {}, dialect=NAME, device=node, alias=node
        )
        return element(NS_PUBSUB, "pubsub", element(NS_PUBSUB, "create", node=node))

    # What their owners do with them.

    async def manage(self, request: IQ) -> Element | None:
        """Delete a node, or read or change who may publish to it. Raises Forbidden for all else."""
        asked = unsealed(request.stanza)[0]
        deleted, affiliations = asked.find(_DELETE), asked.find(_AFFILIATIONS)
        is_set = request.type == "set"
        if not self._is_on or (affiliations is None and (deleted is None or not is_set)):
            raise Forbidden("nodes are made by registering")
        self._desk.check_access(request.sender)
        self._desk.check_rate(request.sender)
        if deleted is not None and is_set:
            await self._desk.unregister([self._owned(request, deleted)], request.sender)
            return None
        assert affiliations is not None
        registration = self._owned(request, affiliations)
        if not is_set:
            return _affiliations(registration)
        publishers = _changed(registration, affiliations)
        self._desk.registrations.let_publish(registration.node, publishers)
        await self._desk.host.database.committed()
        return None

    def _owned(self, request: IQ, named: Node) -> Registration:
        node = named.get("node", "")
        if not node:
            raise BadRequest("node: it is missing", condition("nodeid-required"))
        found = self._desk.registrations.called(node)
        known = [one for one in found if one.dialect == NAME]
        if not found:
            raise ItemNotFound("no such node")
        if not known:
            raise Forbidden("this node is not managed so")
        if known[0].account != request.sender.bare:
            raise Forbidden("this node is another's")
        return known[0]

    # Publishing to them.

    def aim(self, registration: Registration, pubsub: Node) -> Registration:
        """The node with the device that a publish names. Raises StanzaError, which names the
        option at fault."""
        service, token = option(pubsub, "service"), option(pubsub, "device_id")
        for name, value in (("service", service), ("device_id", token)):
            if not value:  # XEP-0060 §7.1.5
                raise Conflict(f"{name}: it is missing", condition("precondition-not-met"))
        app = self._app(service, option(pubsub, "topic"))
        fields = {"token": token, **_wishes(app, pubsub)}
        try:
            app.provider.check(fields)
        except BadField as error:
            name = {"token": "device_id"}.get(error.field, error.field)
            raise BadRequest(name + str(error).removeprefix(error.field)) from None
        kept = app.provider.stored(fields)
        aimed = self._desk.registrations.aim(
            registration.node,
            app.name,
            app.provider.type,
            app.app_name,
            Secret(kept.pop("token")),
            kept,
            self._desk.host.clock.seconds(),
        )
        if aimed != registration:
            self._desk.displace(aimed)
        return aimed

    def _app(self, service: str, topic: str) -> App:
        """The app of this service; by its topic where one is given. Raises BadRequest."""
        apps = [app for app in self._apps if service in app.type_names]
        if not apps:
            known = sorted({name for app in self._apps for name in app.type_names})
            raise BadRequest(f"service: one of {', '.join(known)} is expected")
        if not topic or not any(app.topic for app in apps):
            return apps[0]
        for app in apps:
            if app.topic == topic:
                return app
        raise BadRequest("topic: no app of this topic is served here")


def _wishes(app: App, pubsub: Node) -> dict[str, str]:
    """What else a publish says of the device, where the provider has a field for it."""
    fields = {}
    mode, silent = option(pubsub, "mode"), option(pubsub, "silent")
    if mode not in SANDBOXES:
        raise BadRequest("mode: prod or dev is expected")
    if silent and silent not in TRUTHS:
        raise BadRequest("silent: true or false is expected")
    if SANDBOXES[mode] and "environment" in app.provider.optional_fields:
        fields["environment"] = "sandbox"
    if silent and "silent-push" in app.provider.optional_fields:
        fields["silent-push"] = TRUTHS[silent]
    return fields


def _check_configuration(configure: Node | None) -> None:
    """Who may publish and read is not for the client to choose (XEP-0357 §5)."""
    given = configure.find(FORM) if configure is not None else None
    if given is None:
        return
    try:
        form = form_of(given)
        if form.form_type not in (None, FORM_CONFIG):
            raise ValueError(f"FORM_TYPE: {FORM_CONFIG} is expected")
        access = form.one("pubsub#access_model")
        publish = form.one("pubsub#publish_model")
    except ValueError as error:
        raise NotAcceptable(str(error)) from None
    if access not in (None, "", "whitelist"):
        raise NotAcceptable(
            "pubsub#access_model: whitelist is expected", condition("unsupported-access-model")
        )
    if publish not in (None, "", "publishers"):
        raise NotAcceptable("pubsub#publish_model: publishers is expected")


def _changed(registration: Registration, affiliations: Node) -> tuple[str, ...]:
    """Who may publish then. Raises BadRequest or NotAcceptable, and nothing is changed."""
    publishers = dict.fromkeys(registration.publishers)
    for one in affiliations.findall(_AFFILIATION):
        try:
            jid = parse(one.get("jid", ""))
        except JIDMalformed:
            raise BadRequest("jid: an address is expected") from None
        if jid.resource:
            raise NotAcceptable("jid: an address without a resource is expected")
        affiliation = one.get("affiliation", "")
        if jid.bare == registration.account:
            if affiliation != "owner":
                raise NotAcceptable("affiliation: a node keeps its owner")
        elif affiliation in PUBLISH_ONLY:
            publishers[jid.bare] = None
        elif affiliation in MAY_NOT:
            publishers.pop(jid.bare, None)
        else:
            raise NotAcceptable("affiliation: publish-only, publisher or none is expected")
    if len(publishers) > MOST_PUBLISHERS:
        raise NotAcceptable(f"affiliation: {MOST_PUBLISHERS} publishers at most")
    return tuple(publishers)


def _affiliations(registration: Registration) -> Element:
    """XEP-0060 §8.9.1."""
    told = [(registration.account, "owner")]
    told += [(jid, "publish-only") for jid in registration.publishers]
    listed = [element(NS_OWNER, "affiliation", jid=jid, affiliation=kind) for jid, kind in told]
    return element(
        NS_OWNER,
        "pubsub",
        element(NS_OWNER, "affiliations", *listed, node=registration.called),
    )
