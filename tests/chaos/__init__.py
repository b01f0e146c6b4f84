"""The gateway among bad networks: seeded scenarios on real sockets, and what must hold in each of them.

In: seeds. Out: for each the complaints, mostly none. `scenario` draws who asks what, how, and what goes
wrong; `upstream` is the provider that does it, `caller` the client; `judge` says what is not as it must be;
`run` puts hundreds of them at one gateway, with an `innocent` caller beside them, and looks at what is left
at `rest`.

`python -m tests.chaos` runs thousands; `test_chaos` runs some hundreds. The project imports nothing of it.
"""
