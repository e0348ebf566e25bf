"""How many descriptors this process may have open: one a connection, and some besides."""

try:
    import resource
except ImportError:  # pragma: no cover - there is no such limit
    resource = None  # type: ignore[assignment]

RESERVE = 100  # for the database, the log, the push networks, and what is just being refused


def make_room(connections: int) -> int:
    """Raise the soft limit as far as needed and allowed; how many connections fit in then."""
    if resource is None:
        return connections
    wanted = connections + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        higher = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (higher, hard))
        except (OSError, ValueError):  # some systems allow less than they say
            higher = soft
        soft = higher
    if soft == resource.RLIM_INFINITY:
        return connections
    return max(1, min(connections, soft - RESERVE))
