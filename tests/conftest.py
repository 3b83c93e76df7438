"""Loads the fixtures of `fixtures.plugin` for all tests, and sets how property tests run."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["fixtures.plugin"]

# Time limits for examples would make the tests depend on how busy the machine is.
settings.register_profile("merope", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("merope")
