-- When an enablement went on probation (NULL: it is not), and when its service was last told
-- something; for which accounts nothing is published, and until when (NULL: until that is ended).

ALTER TABLE push_enablements ADD COLUMN probed_at REAL;
ALTER TABLE push_enablements ADD COLUMN tried_at REAL;

CREATE TABLE push_pauses (
    account TEXT NOT NULL PRIMARY KEY,
    until REAL
);
