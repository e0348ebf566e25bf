"""Web Push: what each answer of a push service means (RFC 8030, and what services add to it).

Mozilla says more in JSON (`errno`), Apple too (`reason`), Google in a sentence, Microsoft in a
header of WNS. No text of theirs is passed on: it might tell what it was not told to tell.
"""

import re

from pushd.providers import contract
from pushd.providers.contract import Accepted, Busy, Refused, Scope, Unregistered

IDLE = 900.0  # seconds until a device that has nobody listening for it may have somebody

# Mozilla's numbers that tell more than the status: its bridges to FCM or APNs have trouble, which
# is none for other devices.
BRIDGES = range(900, 904)

LOGIN = frozenset({40101, 40301})  # ntfy's numbers for who may not write

# Apple's words.
OUR_TOKEN = frozenset({"BadJwtToken", "ExpiredJwtToken"})
OTHER_KEY = frozenset({"VapidPkHashMismatch"})

# Mozilla: "VAPID public key mismatch"; Google: "the VAPID credentials ... do not correspond to
# the credentials used to create the subscriptions", formerly "does not correspond to the sender".
_MISMATCH = re.compile(rb"key mismatch|do(es)? not correspond to", re.IGNORECASE)


def read(response: contract.Response, now: float) -> contract.Outcome:
    """The outcome of a response to a push."""
    status, content, after = response.status, response.json(), response.retry_after(now)
    word, number = _word(content.get("reason")), _number(content.get("errno"))
    reason = f"HTTP {status}" + (f" {word}" if word else f" errno {number}" if number else "")
    if status in (200, 201, 202, 204):
        return Accepted()
    if status in (400, 401, 403):
        return _ours(response, status, word, reason)
    if status in (404, 410):
        return Unregistered(reason=reason)
    if status in (406, 429) and (said := _throttled(response)):
        scope = Scope.DEVICE if "channel" in said else Scope.BACKEND
        return Busy(after, scope, f"{reason}, throttled")
    if status == 507:  # ntfy: nobody has subscribed to it lately
        return Busy(after or IDLE, Scope.DEVICE, reason)
    if status == 502 and number in BRIDGES:
        return Busy(after, Scope.DEVICE, reason)
    if 300 <= status <= 399:  # such as Mozilla's for an endpoint that has moved: a client has
        return Refused(f"{reason}, a redirect, which is not followed")  # to register anew
    match contract.by_status(response, now):
        case Busy(scope=scope):
            return Busy(after, scope, reason)
        case Refused(shrink=shrink):
            return Refused(reason, shrink=shrink)
        case outcome:
            return outcome


def _ours(response: contract.Response, status: int, word: str, reason: str) -> contract.Outcome:
    """What is said of our request, or of our key."""
    if word in OTHER_KEY or _MISMATCH.search(response.body[:2048]):
        text = f"{reason}: the subscription was made for another key"
        return Unregistered(guarded=True, reason=text)
    if status == 400 and word not in OUR_TOKEN:
        return Refused(reason)
    # Some do not say that it is the key of this subscription alone.
    why = "our signature is not taken"
    if response.json().get("code") in LOGIN:
        why = "its server lets nobody write there without a login"
    return Refused(f"{reason}: {why}", renew_credential=True, guarded=True)


def _throttled(response: contract.Response) -> str:
    """What WNS, which is Edge's push service too, says of too many; "" where it says nothing."""
    said = response.header("x-wns-status") or response.header("x-wns-notificationstatus")
    return said.lower() if "throttled" in said.lower() else ""


def _word(value: object) -> str:
    is_word = isinstance(value, str) and re.fullmatch(r"[A-Za-z]{1,40}", value, re.ASCII)
    return str(value) if is_word else ""


def _number(value: object) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1000
    return int(str(value)) if is_number else 0
