"""The samples in etc/ are right."""

import json
import re
import shutil
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pushd import measures
from pushd.config.load import load
from pushd.net.certificates import DevelopmentCA
from pushd.providers import apns, catalogue, fcm, ubuntu
from tests.unit.providers.apple import certificate, signing_key

ETC = Path(__file__).parents[3] / "etc"
NOW = 1_795_564_800.0


def furnish(folder: Path) -> None:
    """Make the files that the samples name."""
    issued = DevelopmentCA(folder / "certificates", NOW).issue(["example.net"], "example.net")
    both = folder / "example.net.pem"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    both.chmod(0o600)
    key = rsa.generate_private_key(65_537, 2048)
    account = {
        "type": "service_account",
        "project_id": "a-project",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ).decode(),
        "client_email": "push@a-project.example",
        "token_uri": "https://oauth2.example/token",
    }
    (folder / "fcm-service-account.json").write_text(json.dumps(account))
    (folder / "fcm-service-account.json").chmod(0o600)
    certificate(folder, name="apns_example_app.pem", ends_at=NOW + 86_400 * 100).chmod(0o600)


def test_the_first_configuration_is_right_once_its_files_are_there(tmp_path: Path) -> None:
    furnish(tmp_path)
    shutil.copy(ETC / "pushd.yml", tmp_path)
    config = load(tmp_path / "pushd.yml", {"fcm": fcm.Options}, now=NOW)
    assert config.warnings == ()
    assert [backend.type for backend in config.app_server.backends] == ["fcm"]


def test_each_backend_that_is_commented_out_is_right_when_it_is_taken(tmp_path: Path) -> None:
    furnish(tmp_path)
    signing_key(tmp_path, "AuthKey_ABC123DEFG.p8").chmod(0o600)
    for name, secret in (("wns-secret", "a secret"), ("webhook-secret", f"whsec_{'A' * 32}")):
        (tmp_path / name).write_text(f"{secret}\n")
        (tmp_path / name).chmod(0o600)
    text = (ETC / "pushd.yml").read_text()
    taken = re.sub(r"^    # (- |  )(?=\w)", r"    \1", text, flags=re.MULTILINE)
    taken = taken.replace("  # dialects:", "  dialects:")
    (tmp_path / "pushd.yml").write_text(taken)

    config = load(tmp_path / "pushd.yml", catalogue.all_options(), now=NOW)

    assert config.warnings == ()
    backends = config.app_server.backends
    assert {backend.type for backend in backends} == catalogue.types()
    assert all(measures.provider(backend) for backend in backends)


def test_the_corrected_example_of_mod_push_is_right_with_warnings(tmp_path: Path) -> None:
    furnish(tmp_path)
    text = (ETC / "mod_push-corrected.yml").read_text()
    for folder in (
        "/etc/ssl/private/example",
        "/etc/ssl/private/apns",
        "/etc/pushd/fcm",
        "/var/lib/pushd",
    ):
        assert folder in text
        text = text.replace(folder, str(tmp_path / Path(folder).name))
    (tmp_path / "pushd.yml").write_text(text)
    providers = {
        "fcm": fcm.Options,
        "apns": apns.Options,
        "ubuntu": ubuntu.Options,
    }
    config = load(tmp_path / "pushd.yml", providers, now=NOW)
    assert [caution.text for caution in config.warnings] == [
        "'gcm' is read as 'fcm': GCM ended in 2019, FCM HTTP v1 took its place",
    ]
    backends = config.app_server.backends
    assert [(backend.type, backend.pubsub_host) for backend in backends] == [
        ("ubuntu", "push.example.net"),
        ("fcm", "push.example.net"),
        ("apns", "push.example.net"),
    ]
    assert config.push.include_senders is True


def test_the_samples_for_a_component_are_right_and_fit_each_other(tmp_path: Path) -> None:
    furnish(tmp_path)
    (tmp_path / "component-secret").write_text("between us\n")
    (tmp_path / "component-secret").chmod(0o600)
    shutil.copy(ETC / "pushd-component.yml", tmp_path)

    config = load(tmp_path / "pushd-component.yml", {"fcm": fcm.Options}, now=NOW)

    assert config.warnings == ()
    component = config.component
    assert component is not None
    ejabberd = yaml.safe_load((ETC / "ejabberd-component.yml").read_text())
    [listener] = ejabberd["listen"]
    assert [*listener["hosts"]] == [component.domain]
    assert (listener["ip"], listener["port"]) == (component.host, component.port)
    prosody = (ETC / "prosody-component.cfg.lua").read_text()
    assert f'Component "{component.domain}"' in prosody
    assert f"component_ports = {{ {component.port} }}" in prosody
