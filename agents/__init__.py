"""Bundled agents: users and assistants."""
