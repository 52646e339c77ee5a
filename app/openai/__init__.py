"""Images as OpenAI's clients ask for them and are answered. Another door, not another service."""
