-- How many stanzas a session was sent before the last crash, as far as storage knew of them;
-- NULL once its client has said what it has.

ALTER TABLE sessions ADD COLUMN sent INTEGER;
