"""An app for Apple's devices: how they register, and what is kept of it."""

from pathlib import Path

import pytest

from pushd.providers.apns import APNs, Options
from tests.unit.appserver.stage import Stage, app, execute, outcome, register
from tests.unit.providers.apple import signing_key

TOKEN = "r3qpHKmzZHjYKYbG7yI4fhY+DWKqFZE5ZJEM8P+lDDo="
HEX = "af7aa91ca9b36478d82986c6ef22387e163e0d62aa15913964910cf0ffa50c3a"


def apns(folder: Path, topic: str = "com.example.app") -> APNs:
    return APNs(Options(key_file=signing_key(folder), team_id="TEAM123456", topic=topic))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage((app("apns", apns(tmp_path)),))


@pytest.mark.line(94)
@pytest.mark.parametrize("text", [TOKEN, TOKEN.rstrip("="), HEX, HEX.upper()])
def test_a_token_is_kept_in_one_form_whatever_it_came_in(text: str, stage: Stage) -> None:
    node, _ = register(stage.client(), "apns", token=text, environment="development")

    kept = stage.registration(node)
    assert kept.token.reveal() == HEX
    assert kept.provider_fields() == {"environment": "sandbox"}


@pytest.mark.line(100)
@pytest.mark.parametrize("text", ["", "no base64!", "abcd"])
def test_what_is_no_token_is_refused_and_names_the_field(text: str, stage: Stage) -> None:
    answer = execute(stage.client(), "register-push-apns", {"token": text})

    assert outcome(answer).startswith("bad-request")
    assert "token" in str(answer.error.text)
    assert stage.nodes() == []


@pytest.mark.parametrize(("field", "value"), [("environment", "x"), ("silent-push", "maybe")])
def test_what_a_device_may_not_ask_for_is_named(field: str, value: str, stage: Stage) -> None:
    answer = execute(stage.client(), "register-push-apns", {"token": TOKEN, field: value})

    assert outcome(answer).startswith("bad-request")
    assert field in str(answer.error.text)


def test_another_provider_of_the_app_checks_devices_after_the_configuration_was_read_anew(
    stage: Stage, tmp_path: Path
) -> None:
    class Strict(APNs):
        register_fields = frozenset({"token"})

        def check(self, fields: object) -> None:
            raise ValueError("token: not any more")

    strict = Strict(apns(tmp_path).options)
    stage.server.renew("apns", strict)

    answer = execute(stage.client(), "register-push-apns", {"token": TOKEN})
    assert "not any more" in str(answer.error.text)
