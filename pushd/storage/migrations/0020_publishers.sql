-- Who may publish to a node besides its account and that one's server: addresses, by spaces.

ALTER TABLE registrations ADD COLUMN allowed TEXT NOT NULL DEFAULT '';
