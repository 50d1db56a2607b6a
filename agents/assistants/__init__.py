"""Assistants: they play `assistant_0`."""
