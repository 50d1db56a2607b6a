"""Language models behind one interface: any OpenAI-compatible server, or transformers in this process."""
