"""How long tests wait for what is to come, which takes a moment while all is well."""

PATIENCE = 120.0  # seconds for one thing
LONGEST = 600.0  # seconds for a whole test
