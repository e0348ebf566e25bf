-- What an operator says and sees: why an account is disabled, and since when there is a session.

ALTER TABLE accounts ADD COLUMN disabled_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN bound_at REAL; -- NULL: by a release that did not note it
