"""Where every dialect has its devices registered and unregistered, by the same rules.

A dialect says what a device asked for and in which words it is answered. Who may ask, how
often, how much there may be, what has to give way, what is stored and who is told of it is
the same for all of them, and is decided here.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pushd.appserver.apps import App
from pushd.appserver.limits import Limiter
from pushd.appserver.registrations import Registration, Registrations, Wanted
from pushd.routing.commands import Handler, Invocation, Reply
from pushd.routing.events import DeviceRegistered
from pushd.routing.host import Host
from pushd.routing.requests import IQ
from pushd.wire.errors import Forbidden, ItemNotFound
from pushd.wire.jid import JID
from pushd.wire.secret import Secret

# Why a registration has to give way to another one.
TWIN = "its device is registered by another id"
ANOTHERS = "another account has its device"


@dataclass(frozen=True, slots=True)
class Place:
    """A register_host, or pubsub_host, and the apps that devices may register for there."""

    domain: str
    apps: tuple[App, ...]

    def called(self, name: str) -> list[App]:
        """The apps of the provider of this name, which may be an alias."""
        return [app for app in self.apps if name in app.type_names]

    def names(self) -> list[str]:
        """What the providers of its apps are called."""
        return sorted({name for app in self.apps for name in app.type_names})


@dataclass(frozen=True, slots=True)
class Given:
    """What a device that registered hands on to the server that shall publish."""

    jid: str  # where to publish
    node: str = field(repr=False)
    secret: Secret


@dataclass(frozen=True, slots=True)
class Speaker:
    """A dialect that has something to say to a command.

    `understands` tells whether what was submitted is in its words.
    """

    dialect: str
    handler: Handler
    understands: Callable[[Invocation], bool] = lambda invocation: True


class Desk:
    """Registers and unregisters, for all dialects of all register_hosts.

    `unregister` is told whom to forget, why and by whom; it also tells who published there.
    """

    def __init__(
        self,
        host: Host,
        registrations: Registrations,
        limiter: Limiter,
        unregister: Callable[[Registration, str, str], None],
    ) -> None:
        self.host = host
        self.registrations = registrations
        self._limiter = limiter
        self._unregister = unregister
        self._speakers: dict[tuple[str, str], list[Speaker]] = {}  # by host and command

    # Who may ask.

    def speaks(self, dialect: str) -> bool:
        """Whether a dialect is switched on; that may change with the configuration."""
        return dialect in self._limiter.rules.dialects

    def check_access(self, sender: JID) -> None:
        """Whether devices of this account are served here at all. Raises Forbidden."""
        access = self._limiter.rules.access
        if access == "all":
            return
        allowed = self.host.domains if access == "local" else access
        if sender.domain not in allowed:
            raise Forbidden("devices of this domain are not served here")

    def check_rate(self, sender: JID) -> None:
        """Whether this account may ask for something now. Raises TooMany."""
        now = self.host.clock.seconds()
        self._limiter.check_domain(sender, now)
        self._limiter.check_account(sender, now)

    def offer(self, place: Place, node: str, name: str, speaker: Speaker) -> None:
        """Offer a command (XEP-0050) to those who may register; `name` is for people.

        It is there as long as its dialect is switched on. Where several dialects have a
        command of one name, the first that understands what was submitted answers, else the
        first that is switched on.
        """
        speakers = self._speakers.setdefault((place.domain, node), [])
        speakers.append(speaker)
        if len(speakers) > 1:
            return

        def able() -> list[Speaker]:
            return [one for one in speakers if self.speaks(one.dialect)]

        def may_use(request: IQ) -> None:
            if not able():
                raise ItemNotFound("no such command")
            self.check_access(request.sender)

        def answer(request: IQ, invocation: Invocation) -> Reply | Coroutine[Any, Any, Reply]:
            self.check_rate(request.sender)
            for one in able():
                if one.understands(invocation):
                    return one.handler(request, invocation)
            return able()[0].handler(request, invocation)

        self.host.commands.add(place.domain, node, name, answer, may_use)

    # Registering.

    async def register(
        self,
        sender: JID,
        app: App,
        fields: Mapping[str, str],
        *,
        dialect: str,
        device: str,
        device_name: str | None = None,
        room: str = "",
        alias: str = "",
    ) -> Given:
        """Register a device for an app, or renew what it had; returns when that is on disk.

        `fields` is what the provider asks for, checked by it (`provider_fields`). `room` is the
        bare JID of the room that shall publish; without one the account's server does. `alias`
        is the node, where the device names it. Raises TooMany and StorageError.
        """
        rest = dict(fields)
        wanted = Wanted(
            account=sender.bare,
            device=device,
            backend=app.name,
            type=app.provider.type,
            app=app.app_name,
            token=Secret(rest.pop("token", "")),
            fields=rest,
            device_name=device_name,
            dialect=dialect,
            room=room,
            alias=alias,
        )
        old, _ = self.registrations.find(wanted)
        before = old.provider_fields() if old is not None and old.is_of(wanted) else {}
        wanted = replace(wanted, fields=app.provider.completed(rest, before))
        if old is None:
            self._limiter.check_room(sender, self.registrations.count_of(sender.domain))
        for one, reason in self._displaced(wanted):
            self._unregister(one, reason, sender.full)
        registration, secret = self.registrations.register(wanted, self.host.clock.seconds())
        await self.host.database.committed()
        self.host.events.emit(
            DeviceRegistered(
                registration.account,
                app.pubsub_host,
                registration.called,
                registration.type,
                device,
                sender.full,
                is_new=registration.previous_secret_hash is None,
                dialect=dialect,
                room=room,
            )
        )
        return Given(app.pubsub_host, registration.called, secret)

    def _displaced(self, wanted: Wanted) -> list[tuple[Registration, str]]:
        """What has to go when this device registers, and why."""
        rules = self._limiter.rules
        old, twins = self.registrations.find(wanted)
        gone = [(one, TWIN) for one in twins]
        if old is None:
            most = rules.rooms_per_account if wanted.room else rules.registrations_per_account
            known = [
                one
                for one in self.registrations.of(wanted.account)
                if bool(one.room) == bool(wanted.room) and one not in twins
            ]
            known.sort(key=lambda one: one.used_at)
            surplus = max(0, len(known) + 1 - most)
            gone += [(one, "too many devices, and used least") for one in known[:surplus]]
        return gone + self._at_others(wanted)

    def _at_others(self, wanted: Wanted | Registration) -> list[tuple[Registration, str]]:
        """What other accounts have of this device, where it is to be one account's alone."""
        if self._limiter.rules.shared_tokens:
            return []
        return [
            (one, ANOTHERS)
            for one in self.registrations.everyone()
            if one.account != wanted.account and one.is_of(wanted)
        ]

    def displace(self, aimed: Registration) -> None:
        """A node stands for another device now: what else that had registered has to go.

        As when it registers (`_displaced`).
        """
        gone = [
            (one, TWIN)
            for one in self.registrations.of(aimed.account)
            if one.node != aimed.node and one.room == aimed.room and one.is_of(aimed)
        ]
        for one, reason in gone + self._at_others(aimed):
            self._unregister(one, reason, "")

    async def unregister(self, found: Iterable[Registration], by: JID) -> None:
        """Forget what its owner wants forgotten; returns when that is on disk.

        Raises StorageError.
        """
        for one in found:
            self._unregister(one, "unregistered by its owner", by.full)
        await self.host.database.committed()
