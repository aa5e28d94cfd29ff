"""What the three commands have in common: how they start, how they end, what their help shows.

The rule: needs nothing but Python, and imports nearly nothing of that, because it is what runs
before everything else is imported.
"""
