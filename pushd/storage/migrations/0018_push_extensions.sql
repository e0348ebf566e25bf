-- What a device wishes beyond XEP-0357 (JSON), the key that it has notifications encrypted with,
-- and what such a device is told of the newest stanza and of the last call (JSON).

ALTER TABLE push_enablements ADD COLUMN extensions TEXT;
ALTER TABLE push_enablements ADD COLUMN encryption_key TEXT;
ALTER TABLE push_enablements ADD COLUMN details TEXT;
