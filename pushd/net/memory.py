"""Memory that is free goes back to the system.

What a burst of connections needs is mostly small pieces, which the C library keeps for the next
burst, unless it is told that there is none. Where it is not glibc it is left alone.
"""

import ctypes


def _trim() -> "ctypes._FuncPointer | None":
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None


_TRIM = _trim()


def give_back() -> None:
    """Return what is free, which takes some milliseconds where a lot is."""
    if _TRIM is not None:
        _TRIM(0)
