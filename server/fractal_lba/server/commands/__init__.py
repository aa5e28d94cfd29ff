"""Commands with a module of their own; ``__main__`` puts them together."""
