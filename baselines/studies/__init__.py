"""Studies: how parts of the package were made and measured, as commands."""
