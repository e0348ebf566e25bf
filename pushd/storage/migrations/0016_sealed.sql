-- What a push says to the device alone, and who calls (Tigase's extensions of XEP-0357): JSON.

ALTER TABLE outbox ADD COLUMN encrypted TEXT;
ALTER TABLE outbox ADD COLUMN call TEXT;
