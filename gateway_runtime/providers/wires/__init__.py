"""Wires: what providers may speak. Each file implements `providers.wire.Wire` for one API, with the hub of
`chat` on its other side; a large one is a folder, and its `wire.py` is that file.

In: `server` makes one per provider of the table, and asks it for each attempt. Nothing in here knows a
dialect, and no wire knows another.
"""
