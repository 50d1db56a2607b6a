"""The validity checks of the simulated user."""
