"""The desk’s pages: each module has `create(parts, …)` on top."""
