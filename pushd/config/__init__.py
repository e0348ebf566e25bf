"""The configuration: YAML in, frozen dataclasses out, errors that name the key."""
