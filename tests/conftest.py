"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# No test is timed: a busy machine makes none of them fail.
settings.register_profile("pushd", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("pushd")
