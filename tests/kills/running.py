"""Episodes until there were kills enough; hypothesis picks them, and makes a failing one small."""

from collections.abc import Callable

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.kills.episode import Episode, Tally
from tests.kills.plan import DEVICES, Round, plans
from tests.kills.server import Template, Zygote

BATCH = 40  # episodes that hypothesis is asked for at a time


def run(kills: int, first_seed: int, say: Callable[[str], None] = lambda text: None) -> Tally:
    """Play until so many kills. Raises AssertionError with the smallest plan that fails."""
    tally = Tally()
    zygote = Zygote()
    template = Template(*sorted({name.partition("/")[0] for name in DEVICES}))
    try:
        batch = 0
        while tally.kills < kills:

            def play(plan: list[Round]) -> None:
                if tally.kills < kills:
                    Episode(zygote, template, tally, say).play(plan)

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
        template.close()
    return tally
