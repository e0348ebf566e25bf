"""What a phone of UBports makes of the data of a notification, and what it drops in silence.

Read from UBports' push guide and ubuntu-push's "Low Level Developer Guide": the app's helper gets
`message`, and the phone shows `notification` as it stands.
"""

import re
from collections.abc import Mapping
from typing import Any

PARTS = ("message", "notification")
SHOWN = ("tag", "sound", "vibrate", "emblem-counter", "card")
CARD = {
    "summary": str,
    "body": str,
    "icon": str,
    "actions": list,
    "timestamp": int,
    "persist": bool,
    "popup": bool,
}

_APP = re.compile(r"[a-z0-9][a-z0-9+.-]+_[A-Za-z0-9+.-]+")


def oddities(app: str, data: Any) -> list[str]:
    """What the service takes, and nobody will have meant; in words."""
    found = []
    if not _APP.fullmatch(app):
        found.append("appid is not as package_hook, without a version")
    if not isinstance(data, dict):
        return [*found, "data is no object with message and notification"]
    found += [f"data has no {name!r}" for name in data if name not in PARTS]
    shown = data.get("notification")
    if shown is None:
        return found
    if not isinstance(shown, dict):
        return [*found, "notification is no object"]
    found += [f"notification has no {name!r}" for name in shown if name not in SHOWN]
    if "emblem-counter" in shown:
        found += _of_counter(shown["emblem-counter"])
    if "card" in shown:
        found += _of_card(shown["card"])
    if not isinstance(shown.get("tag", ""), str):
        found.append("tag is no text")
    return found


def _of_counter(counter: Any) -> list[str]:
    if not isinstance(counter, dict) or set(counter) - {"count", "visible"}:
        return ["emblem-counter is not of count and visible"]
    found = []
    if not _is(counter.get("count"), int) or counter["count"] < 0:
        found.append("emblem-counter: count is not a whole number")
    if not isinstance(counter.get("visible", True), bool):
        found.append("emblem-counter: visible is neither true nor false")
    return found


def _of_card(card: Any) -> list[str]:
    if not isinstance(card, dict):
        return ["card is no object"]
    found = [f"card has no {name!r}" for name in card if name not in CARD]
    if not card.get("summary"):
        found.append("card: without a summary nothing is shown")
    for name, kind in CARD.items():
        if name in card and not _is(card[name], kind):
            found.append(f"card: {name} is of another kind")
    actions: Mapping[str, Any] | list[Any] = card.get("actions", [])
    if isinstance(actions, list) and not all(isinstance(one, str) for one in actions):
        found.append("card: actions are not texts")
    return found


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
