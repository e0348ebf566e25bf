"""What `--check-config` tells of a configuration that is right."""

from dataclasses import dataclass
from pathlib import Path

from pushd.config.load import read
from pushd.config.summary import summary


@dataclass(frozen=True, slots=True)
class Free:
    """A provider without options."""


def test_the_summary_tells_what_is_served_where_and_what_to_mind(tmp_path: Path) -> None:
    text = (
        "domains: [localhost]\ndata: db\n"
        "listen: {client: ['127.0.0.1:5222'], client_tls: [], component: ['127.0.0.1:5347']}\n"
        "components: {rooms.localhost: {secret: sesame}}\n"
        "app_server: {proxy: 'http://jo:hunter2@proxy.localhost:3128',"
        " backends: [{type: fcm, register_host: localhost,"
        " pubsub_host: push.localhost, base_url: 'http://127.0.0.1:9'}]}\n"
    )
    config = read(text, tmp_path / "pushd.yml", {"fcm": Free}, now=0.0)
    assert summary(config) == [
        "domain localhost: no TLS",
        "component rooms.localhost",
        f"data in {tmp_path}/db, admin socket {tmp_path}/db/pushd.sock",
        "listen.client: [127.0.0.1:5222]",
        "listen.client_tls: nowhere",
        "listen.component: [127.0.0.1:5347]",
        "listen.metrics: nowhere",
        "s2s: off, other servers are not talked with",
        "push: hold 72h, max_enablements 10, include_senders false, include_message_count true,"
        " include_subscription_count true, include_message_bodies false, notify_on messages,"
        " coalesce 1s, publish_timeout 30s",
        "backend fcm for the app 'any': register at localhost, publish to push.localhost,"
        " provider at http://127.0.0.1:9, through the proxy proxy.localhost:3128",
        "devices register by mod_push",
        f"{tmp_path}/pushd.yml:1:11: domains[0]: warning: no certificate, so no TLS; this is for"
        " listeners on loopback addresses only",
    ]


def test_the_ways_to_register_are_told(tmp_path: Path) -> None:
    backend = "{type: fcm, register_host: localhost, pubsub_host: push.localhost}"
    for given, told in (
        ("{v1: yes, conversations: yes}", "conversations, mod_push, v1"),
        ("{mod_push: no}", "no dialect: none can (app_server.dialects)"),
    ):
        text = f"app_server: {{dialects: {given}, backends: [{backend}]}}\n"
        text += "domains: [localhost]\ndata: db\nlisten: {client: [], client_tls: []}\n"
        lines = summary(read(text, tmp_path / "pushd.yml", {"fcm": Free}, now=0.0))
        assert f"devices register by {told}" in lines


def test_a_server_without_backends_says_what_that_means(tmp_path: Path) -> None:
    text = "domains: [localhost]\ndata: db\nlisten: {client: [], client_tls: []}\n"
    lines = summary(read(text, tmp_path / "pushd.yml", now=0.0))
    assert "no backend: users can use push services of others" in lines
