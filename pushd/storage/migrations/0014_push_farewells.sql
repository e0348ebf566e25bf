-- What clients still have to be told: that an enablement of theirs is no more.

CREATE TABLE push_farewells (
    account TEXT NOT NULL,
    service TEXT NOT NULL,
    node TEXT NOT NULL,
    session TEXT NOT NULL, -- the full JID that enabled it
    at REAL NOT NULL,
    PRIMARY KEY (account, service, node)
);

CREATE TRIGGER account_gone_push_farewells AFTER DELETE ON accounts BEGIN
    DELETE FROM push_farewells WHERE account = OLD.jid;
END;
