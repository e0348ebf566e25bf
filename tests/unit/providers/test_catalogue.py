"""Which providers there are."""

import subprocess
import sys

import pytest

from pushd.providers import catalogue, fcm


def test_a_provider_is_found_by_its_type() -> None:
    assert catalogue.find("fcm") is fcm.FCM


def test_a_provider_is_found_by_its_alias() -> None:
    assert catalogue.find("gcm") is fcm.FCM


@pytest.mark.parametrize(
    "name",
    ["", "carrier-pigeon", "contract", "dispatch", "FCM", "fcm.FCM", "..wire.secret", "__init__"],
)
def test_nothing_else_is_a_provider(name: str) -> None:
    assert catalogue.find(name) is None


def test_types_are_names_without_aliases() -> None:
    assert "fcm" in catalogue.types()
    assert "gcm" not in catalogue.types()


def test_a_provider_has_its_options() -> None:
    assert catalogue.options(fcm.FCM) is fcm.Options
    assert catalogue.all_options()["fcm"] is fcm.Options


def test_finding_one_imports_no_other_file() -> None:
    program = (
        "import sys; from pushd.providers import catalogue; catalogue.find('fcm');"
        "print(*sorted(m for m in sys.modules if m.startswith('pushd.providers.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    names = ("catalogue", "contract", "credentials", "exchange", "fcm", "notification", "outcomes")
    assert done.stdout.split() == [f"pushd.providers.{name}" for name in names]
