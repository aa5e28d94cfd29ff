"""Loops that run beside the requests."""
