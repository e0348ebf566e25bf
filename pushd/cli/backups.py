"""`pushdctl backup` and `restore`: the file of the database, whether a server uses it or not."""

import time
from pathlib import Path
from typing import Any

from pushd.cli.reaching import Place, Unreachable, become, become_owner
from pushd.storage.errors import InUse, StorageError


def backup(place: Place, target: Path) -> dict[str, Any]:
    """Copy the database. Raises Unreachable."""
    from pushd.storage.backup import back_up

    try:
        size = back_up(place.database, target.absolute())
    except StorageError as error:
        raise Unreachable(str(error)) from None
    return {"file": str(target.absolute()), "bytes": size}


def restore(place: Place, source: Path) -> dict[str, Any]:
    """Put a backup in the place of the database of a server that does not run.

    Whoever is root acts as the folder's owner, once the backup is open. Raises Unreachable.
    """
    from pushd.storage.backup import BESIDE, restore

    if place.data is None or place.runs:
        raise Unreachable("the server runs: stop it first")
    for end in BESIDE:
        if Path(f"{source}{end}").exists():
            raise Unreachable(
                f"{source}{end} belongs to {source}: this is no backup, but a database in use"
            )
    try:
        with source.open("rb") as file:
            was = become_owner(place.data)
            try:
                now = time.strftime("%Y%m%d-%H%M%S")
                done = restore(file, source, place.database, now)
            finally:
                become(*was)
    except InUse:
        raise Unreachable("the server runs: stop it first") from None
    except StorageError as error:
        raise Unreachable(str(error)) from None
    except OSError as error:
        raise Unreachable(f"cannot open {source}: {error.strerror}") from None
    return {
        "database": str(place.database),
        "kept": None if done.kept is None else str(done.kept),
        "migrations": done.missing,
    }


def restored(result: dict[str, Any]) -> str:
    """What was done, as text."""
    lines = [f"restored {result['database']}"]
    if result["kept"] is not None:
        lines.append(f"the database that was there is {result['kept']}")
    if result["migrations"]:
        lines.append(f"the next start applies {result['migrations']} migrations to it")
    return "\n".join(lines)
