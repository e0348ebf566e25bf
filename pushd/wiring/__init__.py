"""The house put together, a room for each side of it: what is made there, and what it is handed."""
