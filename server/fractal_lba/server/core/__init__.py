"""Decisions, pure: bytes and values in (time included), values out."""
