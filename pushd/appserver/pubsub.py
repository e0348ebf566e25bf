"""The pubsub host: a node may be published to by who knows its secret, and nothing else.

XEP-0357 §7, XEP-0060 §7.1 and its errors. Items are neither stored nor broadcast: a publish
becomes a row of the outbox, and is answered once that row is on disk.
"""

from collections.abc import Awaitable, Callable, Mapping

from twisted.logger import Logger

from pushd.appserver.apps import App
from pushd.appserver.blocked import Banned, Blocked, Publishers
from pushd.appserver.dialects.fpush import Fpush
from pushd.appserver.dialects.mongooseim import NAME as MONGOOSEIM
from pushd.appserver.dialects.mongooseim import NS_OWNER, MongooseIM
from pushd.appserver.limits import Limiter, TooMany
from pushd.appserver.publishes import (
    PUBLISH,
    RETRACT,
    Published,
    check_size,
    condition,
    only_item,
    read,
    secret,
)
from pushd.appserver.registrations import Registration, Registrations
from pushd.routing.events import PublishReceived
from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.storage.errors import StorageError
from pushd.wire.element import Element, escape
from pushd.wire.errors import (
    BadRequest,
    Forbidden,
    InternalServerError,
    ItemNotFound,
    NotAllowed,
    ServiceUnavailable,
    StanzaError,
)
from pushd.wire.letter import Node, Written, unsealed
from pushd.wire.namespaces import NS_PUBSUB, NS_PUSH

log = Logger()

# What is honoured. Publish-options are taken, but announcing them would oblige us to refuse
# a `secret`, which is no option of a node (XEP-0060 §7.1.5).
FEATURES = (
    NS_PUSH,
    NS_PUBSUB,
    f"{NS_PUBSUB}#access-whitelist",
    f"{NS_PUBSUB}#publish",
    f"{NS_PUBSUB}#publish-only-affiliation",
)

Accept = Callable[[Registration, Published], Awaitable[bool]]


# A node is not to be given up for what is the operator's doing, or ours, or over soon.
# COMPAT: ejabberd gives it up at the first error that is not of type `wait`; Tigase goes by
# conditions, and keeps it for these two.


class NotNow(ServiceUnavailable):
    """Its app is configured no more, its domain asks too much, nothing can be stored: for now."""

    type = "wait"


class Broken(InternalServerError):
    """Something is wrong with us."""

    type = "wait"


class PubsubHost:
    """The requests of one pubsub host.

    `accept` returns once the push is on disk, and tells whether it may go at once.
    """

    def __init__(
        self,
        host: Host,
        domain: str,
        apps: Mapping[str, App],
        registrations: Registrations,
        publishers: Publishers,
        limiter: Limiter,
        accept: Accept,
        fpush: Fpush,
        mongooseim: MongooseIM,
    ) -> None:
        self._domain = domain
        self._apps = apps
        self._registrations = registrations
        self._publishers = publishers
        self._limiter = limiter
        self._accept = accept
        self._fpush = fpush
        self._mongooseim = mongooseim
        self._clock = host.clock
        self._emit = host.events.emit
        self._new_id = host.requests.new_id
        add = host.requests.add
        add("set", NS_PUBSUB, "pubsub", domain, self.answer)
        add("get", NS_PUBSUB, "pubsub", domain, _closed)
        for kind in ("get", "set"):
            add(kind, NS_OWNER, "pubsub", domain, mongooseim.manage)
        host.disco.add_identity(domain, "pubsub", "push")
        for feature in FEATURES:
            host.disco.add_feature(domain, feature)

    async def answer(self, request: IQ) -> Element | Written:
        """Take a publish; all else is refused as at a closed node."""
        pubsub = unsealed(request.stanza)[0]
        publishes = pubsub.findall(PUBLISH)
        if not publishes:
            if pubsub.find(RETRACT) is not None:
                raise Forbidden("items are not kept here")
            return await self._mongooseim.create(request, pubsub) or _closed(request)
        if len(publishes) > 1:
            raise BadRequest("one publish is expected", condition("invalid-payload"))
        publish = publishes[0]
        node = publish.get("node", "")
        try:
            id, account, at_once = await self._publish(request, pubsub, publish, node)
        except (Blocked, Banned) as error:
            self._tell(request, node, "blocked", error.condition)
            raise
        except TooMany as error:
            self._tell(request, node, "limited", "too many from its domain")
            raise NotNow(error.text) from None
        except StorageError:
            self._tell(request, node, "refused", "storage fails")
            raise NotNow("nothing can be stored at present") from None
        except StanzaError as error:
            self._tell(request, node, "refused", error.condition)
            raise
        except Exception:  # noqa: BLE001 - the publisher gets an answer that costs no node
            log.failure("a publish could not be taken")
            self._tell(request, node, "refused", Broken.condition)
            raise Broken from None
        if at_once:
            self._tell(request, node, "accepted", "", account)
        else:
            reason = "too many for its device: sent later"
            self._tell(request, node, "limited", reason, account)
        return Written(  # the answer names node and item (XEP-0060 §7.1.2)
            f"{NS_PUBSUB} pubsub",
            f"<pubsub xmlns='{NS_PUBSUB}'><publish node='{escape(node)}'>"
            f"<item id='{escape(id)}'/></publish></pubsub>",
        )

    async def _publish(
        self, request: IQ, pubsub: Node, publish: Node, node: str
    ) -> tuple[str, str, bool]:
        """Take it, if it may be taken: the item's id, whose it is, and whether it goes at once."""
        self._publishers.check(request.sender.domain)
        self._limiter.check_domain(request.sender, self._clock.seconds())
        registration = self._admit(request, pubsub, node)
        self._publishers.check(registration.account)
        item = only_item(publish)
        check_size(request.stanza)
        published = read(item)
        if registration.dialect == MONGOOSEIM:
            registration = self._mongooseim.aim(registration, pubsub)
        at_once = await self._accept(registration, published)
        return item.get("id") or self._new_id(), registration.account, at_once

    def _tell(
        self, request: IQ, node: str, outcome: str, reason: str, account: str | None = None
    ) -> None:
        """`account` is whose the node is, where that is known by now."""
        if account is None:
            account = self._account_of(request, node)
        publisher = request.sender.full
        self._emit(PublishReceived(account, self._domain, node, publisher, outcome, reason))

    def _account_of(self, request: IQ, node: str) -> str:
        """Whose the node is; of several that have one name, only who publishes there tells."""
        known = self._registrations.called(node)
        if len(known) > 1:
            given = secret(unsealed(request.stanza)[0])
            known = [one for one in known if self._may_publish(request, one, given)]
        return known[0].account if known else ""

    def _admit(self, request: IQ, pubsub: Node, node: str) -> Registration:
        """The registration that this node is, if the sender may publish there."""
        if not node:
            raise BadRequest("node: it is missing", condition("nodeid-required"))
        known = [one for one in self._registrations.called(node) if self._is_here(one)]
        if not known:
            passer = self._fpush.find(request.sender, node, pubsub)
            if passer is not None:
                return passer
            raise ItemNotFound("no such node")
        given = secret(pubsub)
        for registration in known:
            if self._may_publish(request, registration, given):
                break
        else:
            raise Forbidden("the secret or the publisher is wrong")
        if registration.backend not in self._apps:
            raise NotNow("the app of this node is not served at present")
        return registration

    def _is_here(self, registration: Registration) -> bool:
        """Whether servers publish for it at this host, as far as that is known."""
        app = self._apps.get(registration.backend)
        return app is None or app.pubsub_host == self._domain

    def _may_publish(self, request: IQ, registration: Registration, given: str) -> bool:
        """Whether that is its account, or room, or the server of one, and knows the secret."""
        publisher, sender = registration.publisher, request.sender
        return (
            sender.bare == publisher
            or sender.full == publisher.rpartition("@")[2]
            or not {sender.bare, sender.full}.isdisjoint(registration.publishers)
        ) and self._registrations.admits(registration, given)


def _closed(request: IQ) -> Element:
    raise NotAllowed("this node is for publishing only", condition("closed-node"))
