"""The agent: observe, summarise, sign, keep, ship.

A window of a source becomes a signed record; the record is on disk before anything is sent; it is
sent until its answer is final. Decisions are pure (``window``, ``record``, ``verdict``,
``frames``), effects happen in a written order (``observer``, ``shipper``) through ports, and
``run`` puts them together.
"""
