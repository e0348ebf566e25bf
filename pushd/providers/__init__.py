"""The push networks: notifications into requests, responses into outcomes."""
