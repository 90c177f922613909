"""The attribution engine. It knows torch and transformers, and nothing of agents or storage."""
