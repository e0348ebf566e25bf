-- One message for several sessions of an account: which rows are its copies, and whether
-- another session has acknowledged its own. NULL for a message that has one receiver.

ALTER TABLE queue ADD COLUMN message INTEGER; -- the first of their ids
ALTER TABLE queue ADD COLUMN acknowledged INTEGER NOT NULL DEFAULT 0;
