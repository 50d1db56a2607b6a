"""Users: they play `user_0`."""
