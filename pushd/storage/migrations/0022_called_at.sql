-- When a call came that no push has told of yet, so that nobody rings for it after a long stop.
-- The column `urgent` is used no more; SQLite could not drop it before 3.35.

ALTER TABLE push_enablements ADD COLUMN called_at REAL;
