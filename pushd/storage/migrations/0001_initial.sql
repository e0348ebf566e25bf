-- The first schema: accounts and their secrets, what detached sessions hold,
-- messages for those who are away, contacts, and both halves of push.
-- Instants are seconds since the epoch. Flags are 0 or 1.

-- Accounts ------------------------------------------------------------------

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    jid TEXT UNIQUE NOT NULL,
    created_at REAL NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0
);

-- What SCRAM needs to check a password (RFC 5802 section 2.2); never the password.
CREATE TABLE credentials (
    account INTEGER NOT NULL, -- accounts.id
    hash TEXT NOT NULL,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (account, hash)
);

-- Values that the server makes for itself once, such as the secret of fake salts.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

-- Sessions (XEP-0198) ---------------------------------------------------------

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    token TEXT UNIQUE NOT NULL, -- the SM-ID
    jid TEXT NOT NULL, -- full
    handled INTEGER NOT NULL DEFAULT 0,
    acked INTEGER NOT NULL DEFAULT 0,
    hold REAL, -- seconds
    detached_at REAL, -- NULL while a stream is attached
    held_for REAL, -- seconds
    presence BLOB, -- the last available presence, or NULL
    priority INTEGER NOT NULL DEFAULT 0,
    state TEXT -- JSON: what modules keep for the session
);

-- One append-only table for all sessions, in the order of arrival: rows of one
-- session are found by an index in memory, since a key that begins with the
-- session would put each row on another page.
CREATE TABLE queue (
    id INTEGER PRIMARY KEY, -- ascending, given by the server
    session INTEGER NOT NULL, -- sessions.id
    stanza BLOB NOT NULL,
    at REAL NOT NULL
);

CREATE TABLE offline (
    id INTEGER PRIMARY KEY, -- ascending
    account TEXT NOT NULL, -- bare JID
    stanza BLOB NOT NULL,
    at REAL NOT NULL
);

CREATE INDEX offline_of_account ON offline (account);

-- Contacts (RFC 6121) -----------------------------------------------------------

CREATE TABLE roster (
    account TEXT NOT NULL, -- bare JID
    jid TEXT NOT NULL,
    name TEXT,
    subscription TEXT NOT NULL DEFAULT 'none',
    ask INTEGER NOT NULL DEFAULT 0,
    approved INTEGER NOT NULL DEFAULT 0,
    groups TEXT NOT NULL DEFAULT '[]', -- JSON list
    PRIMARY KEY (account, jid)
);

CREATE TABLE roster_versions (
    account TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
);

-- Requests from strangers that wait for an answer (RFC 6121 section 3.1.3).
CREATE TABLE subscription_requests (
    account TEXT NOT NULL,
    jid TEXT NOT NULL,
    stanza BLOB NOT NULL,
    PRIMARY KEY (account, jid)
);

-- Push, the account's side (XEP-0357) ---------------------------------------------

CREATE TABLE push_enablements (
    account TEXT NOT NULL, -- bare JID
    service TEXT NOT NULL,
    node TEXT NOT NULL,
    options BLOB, -- the publish-options form as XML, or NULL
    session TEXT, -- full JID of the resource that enabled it
    queued_messages INTEGER NOT NULL DEFAULT 0,
    pushed_messages INTEGER NOT NULL DEFAULT 0,
    queued_subscriptions INTEGER NOT NULL DEFAULT 0,
    pushed_subscriptions INTEGER NOT NULL DEFAULT 0,
    last_sender TEXT,
    last_body TEXT,
    urgent INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    used_at REAL,
    failures INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, service, node)
);

CREATE TABLE push_options (
    account TEXT NOT NULL PRIMARY KEY,
    include_senders INTEGER,
    include_message_count INTEGER,
    include_subscription_count INTEGER,
    include_message_bodies INTEGER
);

-- Push, the app server's side -----------------------------------------------------

CREATE TABLE registrations (
    node TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    device TEXT NOT NULL,
    device_name TEXT,
    backend TEXT NOT NULL,
    type TEXT NOT NULL,
    app TEXT,
    token TEXT NOT NULL,
    fields TEXT NOT NULL DEFAULT '{}', -- JSON object
    secret_hash BLOB NOT NULL,
    previous_secret_hash BLOB,
    registered_at REAL NOT NULL,
    renewed_at REAL,
    last_push_at REAL,
    UNIQUE (account, device)
);

-- The newest notification of each node that no provider has taken yet.
CREATE TABLE outbox (
    node TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    message_count INTEGER,
    subscription_count INTEGER,
    last_sender TEXT,
    last_body TEXT,
    urgent INTEGER NOT NULL DEFAULT 0,
    accepted_at REAL NOT NULL,
    expires_at REAL NOT NULL
);
