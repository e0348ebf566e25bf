-- With an account goes all that is its own, whoever removes it.

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
