"""The door for external components (XEP-0114)."""
