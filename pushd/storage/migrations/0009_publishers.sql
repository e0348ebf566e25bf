-- Who may not publish to the app server for now, and why.

CREATE TABLE publisher_blocks (
    publisher TEXT NOT NULL PRIMARY KEY, -- a domain, or the bare JID of an account
    reason TEXT NOT NULL,
    blocked_at REAL NOT NULL,
    until REAL -- NULL: without an end
);
