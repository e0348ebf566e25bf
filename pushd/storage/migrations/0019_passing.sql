-- Devices that never registered: those for which a push waits, and dead tokens, by a digest.

CREATE TABLE passers (
    node TEXT NOT NULL PRIMARY KEY,
    publisher TEXT NOT NULL,
    backend TEXT NOT NULL,
    type TEXT NOT NULL,
    app TEXT NOT NULL,
    fields TEXT NOT NULL,
    token TEXT NOT NULL
);

CREATE TABLE dead_tokens (
    name BLOB NOT NULL PRIMARY KEY,
    until REAL NOT NULL
);
