"""What the server makes up for itself at its first start, and keeps."""

import secrets

from pushd.storage.sqlite import Database


async def own_secret(database: Database, name: str) -> bytes:
    """The secret of that name, the same after a restart."""
    rows = await database.read("SELECT value FROM settings WHERE name = ?", (name,))
    if rows:
        return bytes(rows[0][0])
    secret = secrets.token_bytes(32)
    database.write("INSERT INTO settings (name, value) VALUES (?, ?)", (name, secret))
    return secret
