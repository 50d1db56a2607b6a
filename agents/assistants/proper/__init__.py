"""ProPerAssistant: retrieval-augmented memory and preference learning from logged rollouts."""
