-- What servers call a node, where its device has chosen that: another account may have the same.

ALTER TABLE registrations ADD COLUMN alias TEXT NOT NULL DEFAULT '';
