-- What became of enablements and registrations, by whom and why; it outlives both.

CREATE TABLE push_ledger (
    number INTEGER PRIMARY KEY, -- ascending, given by the server
    account TEXT NOT NULL, -- bare JID
    side TEXT NOT NULL, -- enablement, registration or account
    service TEXT NOT NULL,
    node TEXT NOT NULL, -- a digest
    what TEXT NOT NULL,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    times INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL
);

CREATE INDEX push_ledger_of_account ON push_ledger (account, last_at);

CREATE TRIGGER account_gone_push_ledger AFTER DELETE ON accounts BEGIN
    DELETE FROM push_ledger WHERE account = OLD.jid;
END;
