-- With an account goes its pause, whoever removes it.

CREATE TRIGGER account_gone_push_pauses AFTER DELETE ON accounts BEGIN
    DELETE FROM push_pauses WHERE account = OLD.jid;
END;

DELETE FROM push_pauses WHERE account NOT IN (SELECT jid FROM accounts);
