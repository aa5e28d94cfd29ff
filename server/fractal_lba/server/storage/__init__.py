"""Adapters: the inbox and ledger files, and the LMDB index. Named by the composition root alone."""
