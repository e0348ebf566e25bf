"""mod_push's sections: understood as they stand, refused with remedies where they cannot work."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from pushd.config.load import read
from pushd.config.problems import ConfigErrors
from pushd.config.sections import Config
from tests.unit.config.support import HEAD, HOSTS, problems_in

README_EXAMPLE = Path(__file__).with_name("mod_push_readme.yml").read_text()


@dataclass(frozen=True, slots=True)
class FCM:
    service_account: str


@dataclass(frozen=True, slots=True)
class APNs:
    certfile: str | None = None
    key_file: str | None = None


def config_of(text: str, folder: Path) -> Config:
    providers = {"fcm": FCM, "apns": APNs}
    return read(HEAD + text, folder / "pushd.yml", providers, {"ping": None}, now=0.0)


def problems_of(text: str, folder: Path) -> list[str]:
    return [str(problem) for problem in problems_in(config_of, text, folder)]


def cautions_of(text: str, folder: Path) -> list[str]:
    cautions = config_of(text, folder).warnings
    return [f"{c.key}: {c.text}" for c in cautions if not c.key.startswith("domains")]


def test_the_readmes_example_is_refused_for_exactly_what_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(README_EXAMPLE, tmp_path / "ejabberd.yml", {"fcm": FCM}, now=0.0)
    assert [str(problem) for problem in caught.value.problems] == [
        "2:1: data: found nothing; expected a folder that can be written to, or made",
        "2:1: domains: found no domain; expected one at least, such as example.net, or"
        " component: to serve another server",
        "3:10: mod_pubsub.host: found 'push.myserver.net',"
        " where backends have the pubsub_host 'push.example.net' (lines 14, 18, 23);"
        " expected one name for the one host: 'push.example.net' here,"
        " or 'push.myserver.net' there",
        "19:7: mod_push.backends[1].auth_key: found an API key of GCM or of the legacy FCM API,"
        " both shut down by Google; expected service_account: the path of the service account"
        " file (JSON) for FCM HTTP v1, from the Firebase console under Project settings,"
        " Service accounts",
    ]


def test_the_readmes_options_are_pushs_options(tmp_path: Path) -> None:
    text = (
        "mod_push:\n  include_senders: true\n  include_message_count: false\n"
        "  include_subscription_count: false\n  include_message_bodies: true\n"
        "  access_backends: local\n"
    )
    config = config_of(text, tmp_path)
    assert config.push.include_senders is True
    assert config.push.include_message_count is False
    assert config.push.include_subscription_count is False
    assert config.push.include_message_bodies is True
    assert config.app_server.access_backends == "local"
    assert config.app_server.backends == ()


@pytest.mark.parametrize(
    "text",
    [
        "mod_push: {include_senders: yes}\nmod_pubsub: {host: push.localhost}\n",
        "modules:\n  mod_push: {include_senders: yes}\n  mod_pubsub: {host: push.localhost}\n",
        "modules: {mod_pubsub: {host: push.localhost}, ping: }\nmod_push: {include_senders: yes}\n",
    ],
)
def test_the_sections_stand_at_the_top_or_under_modules(text: str, tmp_path: Path) -> None:
    config = config_of(text, tmp_path)
    assert config.push.include_senders is True
    assert set(config.modules) <= {"ping"}


def test_a_list_of_modules_may_name_them_too(tmp_path: Path) -> None:
    config = config_of("modules: [mod_push, ping]", tmp_path)
    assert list(config.modules) == ["ping"]
    assert problems_of("modules: [mod_pubsub]", tmp_path) == [
        "4:11: modules[0].host: found nothing; expected a domain name such as example.net"
    ]


def test_they_stand_beside_pushds_own_sections(tmp_path: Path) -> None:
    text = (
        "mod_push: {include_senders: yes, access_backends: local}\n"
        f"push: {{hold: 1d}}\napp_server: {{backends: [{{type: apns, {HOSTS}, certfile: a}}]}}\n"
    )
    config = config_of(text, tmp_path)
    assert (config.push.include_senders, config.push.hold) == (True, 86_400.0)
    assert config.app_server.access_backends == "local"
    assert len(config.app_server.backends) == 1


def test_what_is_given_in_both_is_a_conflict_with_both_places_named(tmp_path: Path) -> None:
    text = (
        "push: {include_senders: no}\napp_server: {backends: []}\n"
        "mod_push:\n  include_senders: yes\n  backends: []\n"
    )
    assert problems_of(text, tmp_path) == [
        "7:3: mod_push.include_senders: found an option that is given as push.include_senders"
        " in line 4, too; expected it once",
        "8:3: mod_push.backends: found an option that is given as app_server.backends"
        " in line 5, too; expected it once",
    ]


def test_a_section_given_twice_is_a_conflict(tmp_path: Path) -> None:
    text = "mod_push: {include_senders: no}\nmodules: {mod_push: {include_senders: yes}}\n"
    assert problems_of(text, tmp_path) == [
        "5:11: modules.mod_push: found the section again (first in line 4); expected it once"
    ]


def test_what_is_wrong_is_told_in_the_words_of_the_file(tmp_path: Path) -> None:
    text = "modules:\n  mod_push:\n    include_sender: yes\n    include_message_count: maybe\n"
    assert problems_of(text, tmp_path) == [
        "6:5: modules.mod_push.include_sender: found an unknown key;"
        " expected a known one: did you mean 'include_senders'?",
        "7:28: modules.mod_push.include_message_count: found 'maybe'; expected true or false",
    ]
    assert problems_of("mod_push: [5]", tmp_path) == [
        "4:11: mod_push: found a list; expected a mapping of options"
    ]


def test_its_sections_may_be_empty(tmp_path: Path) -> None:
    assert config_of("mod_push:\npush:\n", tmp_path).push == config_of("", tmp_path).push


def test_a_wrong_section_of_pushds_own_is_not_hidden(tmp_path: Path) -> None:
    (problem,) = problems_of("push: 5\nmod_push: {include_senders: yes}\n", tmp_path)
    assert problem.startswith("4:7: push: found a single value; expected a mapping with hold,")


def test_ejabberds_queues_are_named_as_unused(tmp_path: Path) -> None:
    text = "mod_push: {iqdisc: one_queue}\n"
    assert cautions_of(text, tmp_path) == [
        "mod_push.iqdisc: not used: a queue of ejabberd's that pushd does not have"
    ]


def test_the_sections_certfile_is_for_apns_backends_without_one(tmp_path: Path) -> None:
    backends = f"[{{type: apns, {HOSTS}}}, {{type: apns, {HOSTS}, app_name: b, certfile: b.pem}}]"
    text = f"mod_push: {{certfile: a.pem, backends: {backends}}}"
    options = [b.options for b in config_of(text, tmp_path).app_server.backends]
    assert options == [APNs("a.pem"), APNs("b.pem")]


def test_a_backend_with_a_signing_key_needs_no_certfile(tmp_path: Path) -> None:
    backends = f"[{{type: apns, {HOSTS}, key_file: a.p8}}]"
    text = f"mod_push: {{certfile: a.pem, backends: {backends}}}"
    (backend,) = config_of(text, tmp_path).app_server.backends
    assert backend.options == APNs(None, "a.p8")


@pytest.mark.parametrize("backends", ["[]", f"[{{type: fcm, {HOSTS}, service_account: a}}]", ""])
def test_a_certfile_that_no_backend_needs_is_named(backends: str, tmp_path: Path) -> None:
    text = f"mod_push:\n  certfile: a.pem\n  backends: {backends}\n"
    assert "mod_push.certfile: not used: no backend of type apns is without" in str(
        cautions_of(text, tmp_path)
    )


def test_one_name_for_the_pubsub_host_is_well(tmp_path: Path) -> None:
    backends = f"[{{type: fcm, {HOSTS}, service_account: a}}]"
    text = f"mod_pubsub: {{host: PUSH.localhost}}\nmod_push: {{backends: {backends}}}\n"
    assert cautions_of(text, tmp_path) == []


def test_pushds_own_backends_are_held_against_mod_pubsub_too(tmp_path: Path) -> None:
    backends = f"[{{type: fcm, {HOSTS}, service_account: a}}]"
    text = f"mod_pubsub: {{host: other.localhost}}\napp_server: {{backends: {backends}}}\n"
    (problem,) = problems_of(text, tmp_path)
    assert "4:20: mod_pubsub.host: found 'other.localhost'" in problem
    assert "'push.localhost' (line 5)" in problem


def test_a_pubsub_host_that_nobody_uses_is_named(tmp_path: Path) -> None:
    assert cautions_of("mod_pubsub: {host: push.localhost}", tmp_path) == [
        "mod_pubsub.host: not used: there is no backend that has it as its pubsub_host"
    ]


def test_the_pubsub_service_is_the_kind_that_push_needs(tmp_path: Path) -> None:
    text = "mod_pubsub: {host: a.example, nodetree: tree, plugins: [flat], max_items: 5}"
    assert problems_of(text, tmp_path) == [
        "4:41: mod_pubsub.nodetree: found 'tree'; expected virtual",
        "4:64: mod_pubsub.max_items: found an unknown key; expected one of host, nodetree, plugins",
    ]
    text = "mod_pubsub: {host: a.example, plugins: [flat, pep]}"
    assert problems_of(text, tmp_path) == [
        "4:40: mod_pubsub.plugins: found plugins without 'push'; expected 'push' among them"
    ]


def test_other_plugins_are_named_as_unused(tmp_path: Path) -> None:
    text = "mod_pubsub: {host: a.example, plugins: [push, pep]}"
    assert cautions_of(text, tmp_path)[1] == (
        "mod_pubsub.plugins: the plugin 'pep' is not used: pushd's pubsub host is for push alone"
    )
