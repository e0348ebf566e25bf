"""Episodes until there were kills enough; hypothesis picks them, and makes a failing one small."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy

from tests.kills.episode import Episode
from tests.kills.life import Life, Tally
from tests.kills.plan import DEVICES, Round, plans
from tests.kills.provider import Provider
from tests.kills.push_episode import PushEpisode
from tests.kills.push_plan import PLACES
from tests.kills.push_plan import plans as push_plans
from tests.kills.server import Template, Zygote

Say = Callable[[str], None]
# What is published faster than a device may be pushed waits, and goes after the last start.
MORE = """      ca_file: {ca_file}
    - type: apns
      register_host: localhost
      pubsub_host: push.localhost
      app_name: other
      base_url: {apple_url}
      ca_file: {ca_file}
      key_file: AuthKey_KILLSKILLS.p8
      team_id: KILLSKILLS
      topic: example.kills
  push_burst: 4
push:
  include_message_bodies: true
  coalesce: 20ms
"""
BATCH = 40  # episodes that hypothesis is asked for at a time


def run(kills: int, first_seed: int, say: Say = lambda text: None) -> Tally:
    """Play until so many kills. Raises AssertionError with the smallest plan that fails."""
    template = Template(*users(DEVICES))
    try:
        return _run(
            kills,
            first_seed,
            say,
            plans,
            lambda zygote, tally: Episode(zygote, template, tally, say),
        )
    finally:
        template.close()


def run_push(kills: int, first_seed: int, say: Say = lambda text: None) -> Tally:
    """The same for push."""
    with tempfile.TemporaryDirectory(prefix="pushd-kills-") as folder:
        provider = Provider(Path(folder))
        template = push_template(provider)
        try:
            return _run(
                kills,
                first_seed,
                say,
                push_plans,
                lambda zygote, tally: PushEpisode(zygote, template, tally, say, provider),
            )
        finally:
            template.close()
            provider.close()


def push_template(provider: Provider) -> Template:
    """A folder whose backends lead to this provider."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Template(
        *users(PLACES),
        base_url=provider.google_url,
        more=MORE.format(ca_file=provider.ca_file, apple_url=provider.apple_url),
        files={"AuthKey_KILLSKILLS.p8": pem},
    )


def _run(
    kills: int,
    first_seed: int,
    say: Say,
    plans: SearchStrategy[list[Round]],
    episode: Callable[[Zygote, Tally], Life[Any]],
) -> Tally:
    tally = Tally()
    zygote = Zygote()
    try:
        batch = 0
        while tally.kills < kills:

            def play(plan: list[Round]) -> None:
                if tally.kills < kills:
                    episode(zygote, tally).play(plan)

            chosen = settings(
                max_examples=BATCH,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            )
            seed(first_seed * 1_000_003 + batch)(chosen(given(plans)(play)))()
            batch += 1
            say(f"{tally.kills} kills, {tally['episodes']} episodes, {tally['messages']} messages")
    finally:
        zygote.close()
    return tally


def users(places: Sequence[str]) -> list[str]:
    return sorted({place.partition("/")[0] for place in places})
