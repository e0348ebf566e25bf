-- Who asked last to subscribe, and what wakes a device besides messages and such requests.

ALTER TABLE push_enablements ADD COLUMN last_subscriber TEXT;
ALTER TABLE push_enablements ADD COLUMN queued_others INTEGER NOT NULL DEFAULT 0;
ALTER TABLE push_enablements ADD COLUMN pushed_others INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN last_subscriber TEXT;
