"""The ready file: what a harness, or `pushdctl`, needs to know of a server that runs.

Each development server also leaves one where `pushdctl` finds it, named by its process.
"""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def check(path: Path) -> None:
    """See that the file can be written when the time comes. Raises OSError."""
    folder = path.parent
    if not folder.is_dir():
        raise _refusal(errno.ENOENT if not folder.exists() else errno.ENOTDIR, folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refusal(errno.EACCES, folder)


def write(path: Path, ready: Mapping[str, Any]) -> None:
    """Put the file under its name at once, for nobody else to read. Raises OSError."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(ready) + "\n")
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def own() -> Path:
    """Where this process tells `pushdctl` that it runs a development server."""
    return _folder() / f"{_prefix()}{os.getpid()}.json"


def running() -> dict[str, Any] | None:
    """The ready file of a development server of this user; of several, the newest one's."""
    found = sorted(_written(), key=lambda entry: entry[0])
    return found[-1][1] if found else None


def _written() -> Iterator[tuple[float, dict[str, Any]]]:
    """What stands in the files of servers that run, with the time of its writing.

    The folder may be open to everybody: a file that another user put there is none of ours.
    """
    for path in _folder().glob(f"{_prefix()}*.json"):
        try:
            found = path.lstat()
            if found.st_uid != os.getuid():
                continue
            ready = json.loads(path.read_text(encoding="utf-8"))
            os.kill(int(ready["pid"]), 0)
        except ProcessLookupError:
            path.unlink(missing_ok=True)  # it was killed
        except (OSError, ValueError, KeyError, TypeError):
            continue
        else:
            yield found.st_mtime, ready


def _folder() -> Path:
    return Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())


def _prefix() -> str:
    return f"pushd-dev-{os.getuid()}-"


def _refusal(number: int, path: Path) -> OSError:
    return OSError(number, os.strerror(number), str(path))
