-- Until when a push is urgent, whatever newer ones are merged into it. The column `urgent` is
-- used no more; SQLite could not drop it before 3.35.

ALTER TABLE outbox ADD COLUMN urgent_until REAL;
UPDATE outbox SET urgent_until = expires_at WHERE urgent;
