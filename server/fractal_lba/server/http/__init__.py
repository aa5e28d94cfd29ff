"""The HTTP edge: limits, identity, translation; nothing is decided here."""
