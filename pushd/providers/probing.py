"""To ask a provider's service whether it would take our pushes, without waking anybody.

All that a push goes through is tried in its order: the credential at hand, the way to the
service, a fresh token where there is one to fetch, and a question about no device. Each step
is told in words, with what to do where it fails. What a running backend has (its connections,
its token, its breaker) is left alone, so that the answer is about this moment.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from pushd.providers.contract import (
    Busy,
    Credential,
    Failed,
    Fault,
    Finding,
    Link,
    Provider,
    Request,
    Response,
    Sending,
    Token,
    Transport,
)

if TYPE_CHECKING:
    from pushd.net.survey import Sight, Survey

log = Logger()

TIMEOUT = 15.0  # seconds for one exchange
LONGEST = 90.0  # seconds for all of it
SKEW = 120.0  # seconds by which the clocks of two machines may differ

REMEDIES = {
    Fault.UNREACHABLE: "is the address right, has this machine a name server and a way out, or"
    " does it need a proxy (app_server.proxy)?",
    Fault.TIMEOUT: "is a firewall in the way, or does this machine need a proxy"
    " (app_server.proxy)?",
    Fault.TLS: "is the address the service's own? If something in between signs its own"
    " certificates, name its authority as ca_file",
    Fault.BROKEN: "does something in between break connections? Try again; if it stays, the"
    " address is another's",
    Fault.BEYOND: "is the address right, and may the proxy reach this host and port?",
    Fault.PROXY: "look at the proxy of the configuration: its address, user name and password, and"
    " whether it lets us to this host and port",
}
REFUSED = (
    "is the address right, and its port; is the service up? May this machine go out, or does it"
    " need a proxy (app_server.proxy)?"
)
UNTIMELY = (
    "is this machine's clock right? If it is, whoever keeps the service has to renew the"
    " certificate"
)
REPORT = "see the log, and report it"
BUSY = "wait: it is reached, but it is busy"
CLOCK = "set this machine's clock; have it kept right by NTP"
REVOKED = (
    "do the account and its key belong together; has the key run out, was it revoked, or the"
    " account disabled? The provider's console tells, and gives another"
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a probe. `place` is the host and port that it is about, "" for none."""

    # "credential", "way", "name", "connection", "tls", "protocol", "token", "clock", "answer"
    step: str
    text: str
    place: str = ""
    is_good: bool = True
    remedy: str = ""  # beside something good: it is worth a look
    seconds: float | None = None  # that it took


@dataclass(slots=True)
class Probe:
    """What came of it: all is well if every step is good. It ends with the first that is not."""

    steps: list[Step] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return all(one.is_good for one in self.steps)


class Way(Transport, Protocol):
    """A transport of its own for one probe."""

    def survey(self, request: Request) -> "Awaitable[Survey]":
        """Look at the way that this request would take."""

    def close(self) -> Deferred[object]:
        """Close its connections."""


class Prober:
    """Makes probes, over ways that `open_way` gives."""

    def __init__(
        self, clock: IReactorTime, open_way: Callable[[], Way], timeout: float = TIMEOUT
    ) -> None:
        self._clock = clock
        self._open_way = open_way
        self._timeout = timeout

    async def probe(self, provider: Provider) -> Probe:
        """Try one provider as it is configured. Raises nothing; may be cancelled."""
        probe = Probe()
        way = self._open_way()
        probing = _Probing(self._clock, way, provider, probe, self._timeout)
        going = Deferred.fromCoroutine(probing.go())
        try:
            await going.addTimeout(LONGEST, self._clock)
        except _Stuck:
            pass
        except TookTooLong:
            text = f"not at its end after {LONGEST:g} s"
            probe.steps.append(Step("answer", text, "", False, REMEDIES[Fault.TIMEOUT]))
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001  the operator is told of the other backends nevertheless
            log.failure("a probe failed")
            probe.steps.append(Step("answer", "the probe itself broke", "", False, REPORT))
        finally:
            way.close()
        return probe


class _Stuck(Exception):
    """A step failed; the probe says which."""


class _Probing:
    """One call of `probe`."""

    def __init__(
        self,
        clock: IReactorTime,
        way: Way,
        provider: Provider,
        probe: Probe,
        timeout: float,
    ) -> None:
        self._clock = clock
        self._way = way
        self._provider = provider
        self._probe = probe
        self._timeout = timeout
        self._places: dict[tuple[str, Link], str] = {}  # that were surveyed

    async def go(self) -> None:
        for finding in self._provider.examined(self._clock.seconds()):
            self._note("credential", finding)
        await self._look_around()
        lane = self._provider.probe_lane
        credential = self._provider.credential(lane) if lane is not None else None
        token = await self._token(credential) if credential is not None else None
        sending = Sending(str(uuid4()), token.value if token is not None else None)
        request = self._provider.probe(self._clock.seconds(), sending)
        if request is None:
            return
        response, place, seconds = await self._exchange(request, "answer")
        finding = self._provider.probed(response, self._clock.seconds())
        self._note("answer", finding, place, seconds)

    async def _look_around(self) -> None:
        """One step a place. That one of several is not reached is worth a look; none, a failure."""
        seen = [await self._way.survey(place) for place in self._provider.places()]
        is_way_out = any(survey.fault is None for survey in seen)
        for survey in seen:
            took = sum(sight.seconds for sight in survey.sights)
            finding = Finding("it is reached")
            if survey.fault is not None:
                last = survey.sights[-1]
                finding = Finding(last.text, is_way_out, _remedy(last))
            self._add("way", finding, survey.place, took)
        if seen and not is_way_out:
            raise _Stuck

    async def _token(self, credential: Credential) -> Token:
        asked = credential.request(self._clock.seconds())
        if isinstance(asked, Token):
            return asked
        response, place, seconds = await self._exchange(asked, "token")
        now = self._clock.seconds()
        got = credential.accept(response, now)
        if not isinstance(got, Token):
            remedy = BUSY if isinstance(got, Busy) else REVOKED
            self._fail("token", Finding(got.reason, False, remedy), place, seconds)
        finding = Finding(f"an access token was given, good for {_long(got.expires_at - now)}")
        self._note("token", finding, place, seconds)
        return got

    async def _exchange(self, request: Request, step: str) -> tuple[Response, str, float]:
        place = await self._survey(request)
        started_at = self._clock.seconds()
        answer = await self._way.send(request, self._timeout)
        seconds = self._clock.seconds() - started_at
        if isinstance(answer, Failed):
            finding = Finding(answer.reason, False, REMEDIES[answer.fault])
            self._fail(step, finding, place, seconds)
        self._check_clock(answer, place)
        return answer, place, seconds

    async def _survey(self, request: Request) -> str:
        """Once for each place; gives what it is called."""
        key = urlsplit(request.url).netloc, request.link
        if key in self._places:
            return self._places[key]
        survey = await self._way.survey(request)
        self._places[key] = survey.place
        for sight in survey.sights:
            finding = Finding(sight.text, sight.fault is None, _remedy(sight))
            self._note(sight.step, finding, survey.place, sight.seconds)
        return survey.place

    def _check_clock(self, response: Response, place: str) -> None:
        """A token that is dated wrong is refused, in words that do not say so."""
        try:
            there = parsedate_to_datetime(response.header("date")).timestamp()
        except (ValueError, OverflowError):
            return
        off = self._clock.seconds() - there
        if abs(off) > SKEW:
            where = "ahead of" if off > 0 else "behind"
            text = f"this machine's clock is {abs(off):.0f} s {where} that of the service"
            self._note("clock", Finding(text, remedy=CLOCK), place)

    def _note(
        self, step: str, finding: Finding, place: str = "", seconds: float | None = None
    ) -> None:
        if not finding.is_good:
            self._fail(step, finding, place, seconds)
        self._add(step, finding, place, seconds)

    def _fail(self, step: str, finding: Finding, place: str, seconds: float | None) -> NoReturn:
        self._add(step, finding, place, seconds)
        raise _Stuck

    def _add(self, step: str, finding: Finding, place: str, seconds: float | None) -> None:
        self._probe.steps.append(
            Step(step, finding.text, place, finding.is_good, finding.remedy, seconds)
        )


def _remedy(sight: "Sight") -> str:
    """What to do about what is in the way; "" where nothing is."""
    if sight.fault is None:
        return ""
    if sight.is_untimely:
        return UNTIMELY
    if (sight.step, sight.fault) == ("connection", Fault.UNREACHABLE):
        return REFUSED
    return REMEDIES[sight.fault]


def _long(seconds: float) -> str:
    if seconds >= 7_200:
        return f"{seconds / 3_600:.0f} hours"
    return f"{seconds / 60:.0f} minutes"
