-- What is on its way to other servers, in order, until it is known to have arrived.

CREATE TABLE remote_queue (
    id INTEGER PRIMARY KEY,
    stanza BLOB NOT NULL,
    at REAL NOT NULL  -- when it came
);
