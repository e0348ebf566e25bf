-- How a device registered, and for which room besides its account: one device may have several.

DROP TRIGGER account_gone;

CREATE TABLE registered (
    node TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    device TEXT NOT NULL,
    device_name TEXT,
    backend TEXT NOT NULL,
    type TEXT NOT NULL,
    app TEXT,
    dialect TEXT NOT NULL DEFAULT 'mod_push', -- the commands that it was registered with
    room TEXT NOT NULL DEFAULT '', -- bare JID; '' for what the account's own server publishes
    token TEXT NOT NULL,
    fields TEXT NOT NULL DEFAULT '{}', -- JSON object
    secret_hash BLOB NOT NULL,
    previous_secret_hash BLOB,
    registered_at REAL NOT NULL,
    renewed_at REAL,
    last_push_at REAL,
    UNIQUE (account, dialect, room, device)
);

INSERT INTO registered (
    node, account, device, device_name, backend, type, app, token, fields,
    secret_hash, previous_secret_hash, registered_at, renewed_at, last_push_at
) SELECT
    node, account, device, device_name, backend, type, app, token, fields,
    secret_hash, previous_secret_hash, registered_at, renewed_at, last_push_at
FROM registrations;

DROP TABLE registrations;
ALTER TABLE registered RENAME TO registrations;

CREATE TRIGGER account_gone AFTER DELETE ON accounts BEGIN
    DELETE FROM credentials WHERE account = OLD.id;
    DELETE FROM roster WHERE account = OLD.jid;
    DELETE FROM roster_versions WHERE account = OLD.jid;
    DELETE FROM subscription_requests WHERE account = OLD.jid;
    DELETE FROM offline WHERE account = OLD.jid;
    DELETE FROM push_enablements WHERE account = OLD.jid;
    DELETE FROM push_options WHERE account = OLD.jid;
    DELETE FROM outbox WHERE node IN (SELECT node FROM registrations WHERE account = OLD.jid);
    DELETE FROM registrations WHERE account = OLD.jid;
END;
