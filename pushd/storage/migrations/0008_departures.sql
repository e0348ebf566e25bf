-- When the last resource of an account went away, and what it said (XEP-0012).

CREATE TABLE departures (
    account TEXT NOT NULL PRIMARY KEY, -- bare JID
    at REAL NOT NULL,
    status TEXT NOT NULL
);

CREATE TRIGGER account_gone_departures AFTER DELETE ON accounts BEGIN
    DELETE FROM departures WHERE account = OLD.jid;
END;
