"""What every request used and what it cost: rows handed over in, sums and rows out.

    server -> UsageRow -> Ledger (a journal, a thread, batches) -> Store (a file, or a server)
    Store -> sum_usage -> Report -> a table, CSV, JSON
          -> list_rows -> CSV, Parquet, billing rows

In: a row for each request that reached a provider, before the last of its answer goes out. Out: sums by
tenant, model, day and others, and the rows themselves, for people and programs. `server` enters, and the
command line to read; this room knows neither, and imports the contract alone. Prompts and answers never come
in here.

Money is a whole number of picodollars everywhere, and a decimal string where it is shown; never a float.
"""
