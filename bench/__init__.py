"""Measurements that are quoted: each program writes its section of `RESULTS.md`."""
