"""APNs: the Apple Push Notification service, over HTTP/2.

An alert that the app may rewrite where there is something to show, else a background push. A
device may register a second token, of PushKit (`voip-token`): calls go there.
Production and sandbox are services of their own: a backend has one of them by default, and
a device may register for the other.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pushd.config.checks import (
    SOON,
    ClientCertificateFile,
    SigningKeyFile,
    client_certificate_fault,
    key_fault,
    load_certificate,
    read_file,
    signing_key_fault,
)
from pushd.config.kinds import Choice, Duration, Pattern, Url
from pushd.config.proxies import ProxyAddress
from pushd.providers import apns_answers, contract
from pushd.providers.apns_answers import read
from pushd.providers.apns_credentials import Identity, ProviderToken, provider_token
from pushd.providers.apns_payload import (
    PAYLOAD_LIMIT,
    RINGING,
    SILENT,
    VOIP_LIMIT,
    collapse_id,
    expiration,
    payload,
    token,
)

PRODUCTION, SANDBOX = "production", "sandbox"
HOSTS = {PRODUCTION: "api.push.apple.com", SANDBOX: "api.sandbox.push.apple.com"}
ENVIRONMENTS = {PRODUCTION: PRODUCTION, SANDBOX: SANDBOX, "development": SANDBOX}
PORTS = (443, 2197)
VOIP = "voip-token"  # the field with a second token, of PushKit, that calls go to
NOBODY = b"pushd probe".hex()  # no device's token, and too short for one

AppleId = Annotated[str, Pattern(r"[A-Z0-9]{10}", "ten capital letters and digits")]
BundleId = Annotated[str, Pattern(r"[A-Za-z0-9.-]{1,200}", "a bundle id such as com.example.app")]


@dataclass(frozen=True, slots=True)
class Options:
    # The app's bundle id. A certificate says it itself, unless it is for several apps.
    topic: BundleId | None = None
    # The signing key (.p8) for token authentication; takes key_id, team_id and topic besides.
    key_file: SigningKeyFile | None = None
    # The key's id. A file that is still called AuthKey_KEYID.p8 says it itself.
    key_id: AppleId | None = None
    # The id of the developer team that the key belongs to.
    team_id: AppleId | None = None
    # The client certificate (PEM), mostly with its private key, in place of a signing key.
    certfile: ClientCertificateFile | None = None
    # The private key (PEM) of that certificate, if it is not in the same file.
    keyfile: Path | None = None
    # Where devices are reached that do not say it when they register.
    environment: Annotated[str, Choice((PRODUCTION, SANDBOX))] = PRODUCTION
    # The port at Apple's: 443, or 2197 where a firewall is in the way.
    port: int = 443
    # What is shown where the app does not rewrite it: a key of the app's Localizable.strings,
    # which the device shows as it is where the app has no such key.
    alert: str = "New message"
    # The same for a contact request.
    contact_alert: str = "New contact request"
    # The same for a call.
    call_alert: str = "Incoming call"
    # The sound that goes with it, or none.
    sound: str | None = "default"
    # How long Apple keeps a notification for a device that it cannot reach.
    lifetime: Duration = 86_400.0
    # The same for a call that goes to a token for calls (``voip-token``); 0s is "now or never".
    call_lifetime: Duration = 30.0
    # In place of Apple's address, for both environments: a stand-in for tests.
    base_url: Url | None = None
    # A stand-in for the sandbox alone; base_url is then that for production.
    sandbox_url: Url | None = None
    # The authorities (PEM) that may have signed Apple's certificate, if not the usual ones.
    ca_file: Path | None = None
    # The proxy to Apple, where there is no other way.
    proxy: ProxyAddress | None = None

    def __post_init__(self) -> None:
        """Raises BadOption for options that do not fit together."""
        if self.port not in PORTS:
            raise contract.BadOption("port: 443 or 2197", "port")
        if (self.key_file is None) == (self.certfile is None):
            raise contract.BadOption(
                "either key_file (with key_id, team_id and topic), or certfile", "key_file"
            )
        if self.certfile is not None:
            _check_certificate(self)
        else:
            _check_key(self)

    @property
    def expires_at(self) -> float | None:
        """When the certificate does; a signing key has no end."""
        return None if self.certfile is None else Identity.load(self.certfile).expires_at


def _check_key(options: Options) -> None:
    path = options.key_file
    assert path is not None
    if fault := signing_key_fault(path):
        raise contract.BadCredential(f"another file than {path}, {fault}", "key_file")
    for name, value in (
        ("key_id", _key_id(options)),
        ("team_id", options.team_id),
        ("topic", options.topic),
    ):
        if not value:
            raise contract.BadOption(f"{name}, too, beside key_file", name)


def _check_certificate(options: Options) -> None:
    path, key_path = options.certfile, options.keyfile
    assert path is not None
    if fault := client_certificate_fault(path):
        raise contract.BadCredential(f"another file than {path}, {fault}", "certfile")
    if fault := _key_fault(path, key_path or path):
        raise contract.BadCredential(f"the certificate's key, not {fault}", "keyfile")
    identity = Identity.load(path)
    listed = ", ".join(identity.topics) or "none"
    if options.topic is None and not identity.main_topic:
        raise contract.BadOption(f"topic, one of the certificate's: {listed}", "topic")
    if options.topic is not None and identity.topics and options.topic not in identity.topics:
        raise contract.BadOption(f"as topic one of the certificate's: {listed}", "topic")


def _key_fault(path: Path, key_path: Path) -> str | None:
    certificate = load_certificate(read_file(path))
    try:
        fault = key_fault(certificate, read_file(key_path)) if certificate else None
    except OSError:
        fault = "which cannot be read"
    return f"{key_path}, {fault}" if fault else None


def _key_id(options: Options) -> str:
    named = re.fullmatch(
        r"AuthKey_([A-Z0-9]{10})\.p8", options.key_file.name if options.key_file else ""
    )
    return options.key_id or (named[1] if named else "")


class APNs(contract.Provider):
    type = "apns"
    register_fields = frozenset({"token"})
    optional_fields = frozenset({"environment", "silent-push", VOIP})
    rest = 900.0  # Apple's advice for 500 and 503
    limits = contract.Limits(concurrency=200)

    def __init__(self, options: Options) -> None:
        self.options = options
        self._token: ProviderToken | None = None
        self._expires_at: float | None = None
        self._topic = options.topic or ""
        self._takes_calls = True
        if options.key_file is not None:
            key_id, team_id = _key_id(options), options.team_id or ""
            self._token = provider_token(team_id, key_id, options.key_file)
            name = f"{team_id} {key_id} {self._token.fingerprint}"
        elif options.certfile is not None:
            identity = Identity.load(options.certfile)
            self._topic = self._topic or identity.main_topic
            self._expires_at = identity.expires_at
            # One without a list is for its main topic alone.
            self._takes_calls = f"{self._topic}.voip" in identity.topics
            name = identity.fingerprint
        ca_file = contract.trusted(options.ca_file)
        self._links = {
            # One team, one key and one environment a connection.
            environment: contract.Link(
                ca_file,
                http2=True,
                certificate=options.certfile,
                key=options.keyfile,
                proxy=options.proxy,
                name=f"{environment} {name}",
            )
            for environment in HOSTS
        }
        self._texts = {
            "message": options.alert,
            "contact": options.contact_alert,
            "call": options.call_alert,
        }
        self._urls = {environment: _url(options, environment) for environment in HOSTS}

    @property
    def links(self) -> frozenset[contract.Link]:
        return frozenset(self._links.values())

    def check(self, fields: Mapping[str, str]) -> None:
        super().check(fields)
        token(fields["token"])
        if fields.get(VOIP):
            token(fields[VOIP], VOIP)
        environment = fields.get("environment") or PRODUCTION
        if environment not in ENVIRONMENTS:
            raise contract.BadField("environment", "is neither production nor sandbox")
        contract.silent(fields)

    def stored(self, fields: Mapping[str, str]) -> dict[str, str]:
        kept = dict(fields) | {"token": token(fields["token"]).hex()}
        if kept.get(VOIP):
            kept[VOIP] = token(kept[VOIP], VOIP).hex()
        if kept.get("environment"):
            kept["environment"] = ENVIRONMENTS[kept["environment"]]
        return kept

    @property
    def expires_at(self) -> float | None:
        return self._expires_at

    def lane(self, device: contract.Device) -> str:
        return ENVIRONMENTS.get(device.fields.get("environment", ""), self.options.environment)

    def credential(self, lane: str) -> contract.Credential | None:
        return self._token

    def request(
        self,
        note: contract.Notification,
        device: contract.Device,
        now: float,
        sending: contract.Sending,
    ) -> contract.Request:
        field = VOIP if self._rings(note, device, sending) else ""
        is_alert = bool(note.occasion) and not contract.silent(device.fields)
        if field:
            push_type, aps, limit = "voip", RINGING, VOIP_LIMIT
        elif is_alert:
            push_type, aps, limit = "alert", self._aps(note), PAYLOAD_LIMIT
        else:
            push_type, aps, limit = "background", SILENT, PAYLOAD_LIMIT
        lifetime = self.options.call_lifetime if field else self.options.lifetime
        headers = {
            "apns-topic": f"{self._topic}.voip" if field else self._topic,
            "apns-push-type": push_type,
            # Apple takes no other for background.
            "apns-priority": "5" if push_type == "background" else "10",
            "apns-expiration": str(expiration(lifetime, note, now)),
            "apns-collapse-id": collapse_id(note.node),
        }
        if sending.id:
            headers["apns-id"] = sending.id
        if sending.credential is not None:
            headers["authorization"] = f"bearer {sending.credential.reveal()}"
        lane, address = self.lane(device), device.fields[field] if field else device.token.reveal()
        return contract.Request(
            f"{self._urls[lane]}/3/device/{token(address, field or 'token').hex()}",
            headers=headers,
            body=payload(note, aps, sending.shrink, limit),
            link=self._links[lane],
            field=field,
        )

    def _rings(
        self, note: contract.Notification, device: contract.Device, sending: contract.Sending
    ) -> bool:
        """Is it a call, for a device that has a token for calls?

        Nothing else goes there: iOS ends an app that gets a push for calls and reports none.
        """
        return (
            note.call is not None
            and self._takes_calls
            and VOIP not in sending.without
            and bool(device.fields.get(VOIP))
        )

    def outcome(self, response: contract.Response, now: float) -> contract.Outcome:
        return read(response, now)

    def examined(self, now: float) -> Iterator[contract.Finding]:
        options, lane = self.options, self.options.environment
        if options.key_file is not None:
            key_id, team_id = _key_id(options), options.team_id
            yield contract.Finding(
                f"{options.key_file} is the key {key_id} of the team {team_id}, to push to "
                f"{self._topic} ({lane})"
            )
        elif self._expires_at is not None:
            yield _certificate_found(options, self._topic, self._expires_at, now)
            if not self._takes_calls:
                text = f"it is not for {self._topic}.voip: calls go as alerts, to no {VOIP}"
                yield contract.Finding(text)

    def probe(self, now: float, sending: contract.Sending) -> contract.Request:
        """A silent push to no device: `BadDeviceToken` comes from who has taken all the rest."""
        headers = {
            "apns-topic": self._topic,
            "apns-push-type": "background",
            "apns-priority": "5",
            "apns-expiration": "0",
        }
        if sending.credential is not None:
            headers["authorization"] = f"bearer {sending.credential.reveal()}"
        lane = self.options.environment
        return contract.Request(
            f"{self._urls[lane]}/3/device/{NOBODY}",
            headers=headers,
            body=contract.as_json({"aps": SILENT}),
            link=self._links[lane],
        )

    def remedy(self, response: contract.Response) -> str:
        return apns_answers.remedy(response) or super().remedy(response)

    def _aps(self, note: contract.Notification) -> Mapping[str, object]:
        """An alert with a text of the app's own choice, that the app may replace."""
        sound = self.options.sound
        aps: dict[str, object] = {
            "alert": {"loc-key": self._texts[note.occasion]},
            "mutable-content": 1,
        }
        return aps if sound is None else aps | {"sound": sound}


def _certificate_found(
    options: Options, topic: str, expires_at: float, now: float
) -> contract.Finding:
    day = f"{datetime.fromtimestamp(expires_at, UTC):%Y-%m-%d}"
    text = f"{options.certfile} is a certificate for {topic} ({options.environment}), until {day}"
    remedy = "renew the certificate in Apple's developer portal, put it there, and reload"
    is_due = expires_at <= now + SOON.total_seconds()
    return contract.Finding(text, now < expires_at, remedy if is_due else "")


def _url(options: Options, environment: str) -> str:
    stand_in = options.sandbox_url if environment == SANDBOX else None
    stand_in = stand_in or options.base_url
    if stand_in is not None:
        return stand_in.rstrip("/")
    port = "" if options.port == 443 else f":{options.port}"
    return f"https://{HOSTS[environment]}{port}"
