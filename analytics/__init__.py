"""Analytics: what happened, kept in DuckDB. Facts only, never prompts or answers."""
