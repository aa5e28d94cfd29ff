"""Adapters: log lines and metrics. Payloads and keys never reach them."""
