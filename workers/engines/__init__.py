"""Engines: what a worker drives. Each turns one job into Ollama-native NDJSON lines."""
