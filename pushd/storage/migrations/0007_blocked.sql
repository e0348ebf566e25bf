-- Whom an account has blocked (XEP-0191).

CREATE TABLE blocked (
    account TEXT NOT NULL, -- bare JID
    jid TEXT NOT NULL, -- of any form: all that it matches is blocked
    PRIMARY KEY (account, jid)
);

CREATE TRIGGER account_gone_blocked AFTER DELETE ON accounts BEGIN
    DELETE FROM blocked WHERE account = OLD.jid;
END;
