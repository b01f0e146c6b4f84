"""The shell of the data plane: sockets, files, clocks and chance around the decisions of `engine` and the
wire formats of `providers`.

    request:  hot | plain -> front -> request -> journey (race) -> attempt -> relay -> upstream -> provider
              hot -> express -> upstream -> provider; whatever is not ordinary -> journey
    table:    stream | disk | the embedding process -> reload -> one reference -> request
    truth:    attempt, probe -> state -> report -> stream -> operator; state, metrics -> admin

`main.Gateway` puts them together. HTTP is known at both ends alone: `hot` serves the ordinary request at
speed and `plain` the rest through aiohttp, both by `reply.Reply`; the transport towards providers is a
package of its own. Between them `journey` decides nothing by itself: it asks `engine`, and `record` keeps
what came of it.
"""
