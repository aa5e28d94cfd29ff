"""The order of effects: log, authenticate, decide, finish; and again for what a crash left."""
