"""The server: log every body, verify it, decide it once, answer from what is on disk."""
