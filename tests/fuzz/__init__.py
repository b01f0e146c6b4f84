"""The four readers that face strangers, fed with what nobody should send.

In: bytes that hypothesis makes up around the grammar of each reader. Out: a failure with the smallest input
that shows it. Each reader is held against another one (aiohttp's parser, json, itself with the bytes cut
elsewhere), so that not only crashes are found.

The suite runs a hundred inputs of each; `python -m tests.fuzz --inputs 200000` as many as are wanted. What
was found stays beside its property, as an `example` or a test.
"""
