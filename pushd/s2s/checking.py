"""Another server tried step by step, in plain words: for who wonders why nobody answers."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from pushd.routing.requests import Answer, Refusal, Silence
from pushd.s2s import options as policies
from pushd.s2s.faults import ABSENT, Fault
from pushd.s2s.stream import Facts
from pushd.wire.element import element

if TYPE_CHECKING:
    from pushd.s2s.peers import Peers

log = Logger()

MOST = 20  # domains that are checked at once
PATIENCE = 20.0  # seconds for the answer to a ping
# What our own router says in place of a server that is not reached.
UNREACHED = ("remote-server-not-found", "remote-server-timeout", "not-allowed")
POLICIES = {
    policies.REQUIRE: "a certificate that is valid for the domain",
    policies.DIALBACK: "a valid certificate, or dialback",
    policies.DENY: "this server does not talk with it: s2s.policy or s2s.domains says deny",
}
# What can be done, by the step that failed; where that is for the other side alone, who has to.
REMEDIES = {
    ABSENT: "its operator has to set records; where they are wrong, s2s.domains has `address`",
    "dns": "are the name servers of this machine right, or those of s2s.name_servers?",
    "connect": "is it down, or is there a firewall between? That is for its operator to say",
    "tls": "its operator has to switch TLS on: nothing is said in the clear",
    "certificate": "its operator has to mend that; `policy: dialback` in s2s.domains takes it"
    " without, and s2s.ca_file adds an authority",
    "authentication": "is our certificate by an authority that others trust, and good for our"
    " domain? For dialback, our records have to lead here",
    "timeout": "it takes connections, but does not answer: its operator has to look",
}


@dataclass(frozen=True, slots=True)
class Step:
    """What was looked at, whether it is as it should be, and words about it."""

    name: str
    is_fine: bool
    text: str


def check_all(peers: "Peers", domains: Iterable[str]) -> None:
    """Look after so many domains that somebody counts on; the log has what is wrong with them."""
    local = min(peers.host.domains)

    async def look(remote: str) -> None:
        steps = await check(peers, local, remote)
        if not steps[-1].is_fine:
            bad = "; ".join(step.text for step in steps if not step.is_fine)
            log.warn(
                "the push service {remote} is not reached: {bad}. `pushdctl s2s check {remote}`"
                " tries it again",
                remote=remote,
                bad=bad,
            )

    for domain in sorted(domains)[:MOST]:
        looking = Deferred.fromCoroutine(look(domain))
        looking.addErrback(lambda failure: log.failure("a check failed", failure))


async def check(peers: "Peers", local: str, remote: str) -> list[Step]:
    """Open a stream from a domain of ours, and ask for an answer. The last step tells how it went.

    It stays as it is while it is used: what is opened for the check is closed again.
    """
    steps: list[Step] = []
    policy = peers.options.policy_for(remote)
    proof = "" if policy == policies.DENY else "it has to prove: "
    steps.append(Step("policy", policy != policies.DENY, proof + POLICIES[policy]))
    if policy == policies.DENY:
        return steps

    def tell(step: str, text: str) -> None:
        steps.append(Step(step, step == "records", text))

    place = peers.options.place_of(remote)
    if place is not None:
        steps.append(Step("records", True, f"not asked for: it is at {place[0]}:{place[1]}"))
    try:
        outgoing = await peers.caller.call(peers, (local, remote), tell=tell)
    except Fault as fault:
        if not any(step.text == str(fault) for step in steps):
            steps.append(Step(fault.step, False, str(fault)))
        remedy = REMEDIES.get(fault.step, "that is for its operator to say")
        return [*steps, Step("stream", False, f"no stream: {remedy}")]
    steps += _facts(outgoing.facts)
    outgoing.close("it was for a check")
    steps.append(await _answer(peers, local, remote))
    return steps


def _facts(facts: Facts) -> list[Step]:
    address = f", which is {facts.address}" if facts.address else ""
    offers = ", ".join(one.rpartition(" ")[0] for one in facts.features) or "nothing"
    return [
        Step("address", True, f"connected to {facts.target}{address}"),
        Step("tls", True, facts.tls),
        Step("certificate", True, _certificate(facts)),
        Step("authentication", True, f"it has taken us for who we are by {facts.method}"),
        Step("features", True, f"it offers {offers}"),
    ]


def _certificate(facts: Facts) -> str:
    if facts.certificate:
        return f"not valid for the domain ({facts.certificate}), which dialback makes up for"
    if facts.expires_at is None:
        return "valid for the domain"
    return f"valid for the domain, until {datetime.fromtimestamp(facts.expires_at, UTC):%Y-%m-%d}"


async def _answer(peers: "Peers", local: str, remote: str) -> Step:
    """The whole way there and back, over the streams that users have."""
    began = peers.clock.seconds()
    ping = element("urn:xmpp:ping", "ping")
    answer: Answer = await peers.host.requests.ask(remote, local, ping, "get", PATIENCE)
    took = peers.clock.seconds() - began
    match answer:
        case Silence():
            return Step("round trip", False, f"no answer to a ping within {PATIENCE:g} s")
        case Refusal(condition) if condition in UNREACHED:
            words = f"no answer to a ping: {condition} {answer.text}".strip()
            return Step("round trip", False, words)
        case Refusal(condition):
            return Step("round trip", True, f"answered in {took:.2f} s, with {condition}")
    return Step("round trip", True, f"answered in {took:.2f} s")
