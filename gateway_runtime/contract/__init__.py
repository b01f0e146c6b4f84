"""What both sides share: the routing table and how it travels, the reports that come back, and the errors
callers see.

In: nothing. Out: frozen values and their bytes. The control plane builds them, the data plane obeys them;
both may import this package, and it imports neither. The data plane owns the format, as Envoy owns xDS.
"""
