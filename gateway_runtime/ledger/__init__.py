"""What every request used and what it cost: rows handed over in, sums out.

    server -> UsageRow -> Ledger (a thread, batches) -> Store (SqliteStore: one file) -> sum_usage -> Report

In: a row for each request that reached a provider, once it is over. Out: sums by tenant, model, day and
others, as text for people and programs. `server` enters, and the command line to read; this room knows
neither, and imports the contract alone. Prompts and answers never come in here.

Money is a whole number of picodollars everywhere, and a decimal string where it is shown; never a float.
"""
