"""Stand-ins for the push networks, written apart from the providers."""
