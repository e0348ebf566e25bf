"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# No test is timed: a busy machine makes none of them fail.
settings.register_profile("pushd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pushd")

# Whoever runs the tests in the background has them ignore SIGINT, and so the servers they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
