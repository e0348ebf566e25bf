"""The push service: a host of its own, from the publish to the provider."""
