"""The shell of the data plane: sockets, files, clocks and chance around the decisions of `engine` and the
wire formats of `providers`.

    request:  front -> request -> upstream -> provider
    table:    stream | disk | the embedding process -> reload -> one reference -> request
    truth:    request, probe -> state -> report -> stream -> operator; state, metrics -> admin

`main.Gateway` puts them together. `upstream` (the transport) and `front` (the HTTP server) are rooms with
narrow doors, so that a faster engine can move in without touching the rest.
"""
