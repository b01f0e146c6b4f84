"""What to do next, decided without doing it: who the caller is, which route, which target, how long to wait.

In: the routing table, the time, a random draw, what happened so far. Out: choices and verdicts. Nothing here
waits, reads a clock or opens a socket, so every rule can be tested as a table of cases. `server` asks; nobody
else enters, and `providers` (the wire formats) is not known here.
"""
