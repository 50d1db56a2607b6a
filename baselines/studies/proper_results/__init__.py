"""Finished runs of assistants to published results: a table, a picture, the texts to read, a second opinion."""
