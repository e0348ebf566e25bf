"""Each conversation in tests/transcripts, played with a server of its own."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.patience import LONGEST
from tests.scenarios.harness import Server
from tests.scenarios.play import play

TRANSCRIPTS = sorted((Path(__file__).parents[1] / "transcripts").glob("*.txt"))

Test = Callable[["TranscriptTest"], Coroutine[Deferred[Any], Any, None]]


class TranscriptTest(TestCase):
    """Has a test for each file, named after it."""

    timeout = LONGEST


def _test(path: Path) -> Test:
    async def test(case: TranscriptTest) -> None:
        await play(await Server.start(case), path)

    return test


for _path in TRANSCRIPTS:
    setattr(TranscriptTest, f"test_{_path.stem}", _test(_path))
