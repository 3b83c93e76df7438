"""Loads the fixtures of `fixtures.plugin` for all tests."""

pytest_plugins = ["fixtures.plugin"]
