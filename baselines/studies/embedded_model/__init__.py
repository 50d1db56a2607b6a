"""The embedded language model of ProPerAssistant: how it is made."""
