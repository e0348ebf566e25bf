"""What happens to push in an episode, as hypothesis picks it."""

from tests.kills.plan import plans_of

PHONES = ("romeo/phone", "juliet/phone", "juliet/tablet")
PLAIN = "nurse/kitchen"
PLACES = (*PHONES, PLAIN)
TARGETS = ("romeo", "juliet", *PHONES)
ACTIONS = {  # what a device does, and how often in comparison
    "write": 6,
    "publish": 5,
    "register": 3,
    "enable": 3,
    "cut": 4,
    "told": 2,
    "back": 2,
    "read": 2,
    "acknowledge": 2,
    "anew": 1,
    "leave": 1,
    "unregister": 1,
    "disable": 1,
    "die": 2,
    "mood": 5,
    "breathe": 2,
}
# "asked" and "answered": once the provider has been asked, or has answered, so many times
ENDS = ("now", "soon", "asked", "answered", "asked", "answered", "bytes", "acks", "stop")

plans = plans_of(len(PLACES), ACTIONS, ENDS)
