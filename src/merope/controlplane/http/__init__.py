"""From bytes on a connection to a verb on a resource, and back.

``message`` holds the two ends (a request and a response, independent of the transport), ``listener`` puts them on
TLS connections, ``requestinfo`` says what a path asks for, ``negotiation`` which form the answer takes, ``bodies``
and ``options`` decode what the client sent, ``rest`` turns all that into calls of the registry, and ``filters`` is
the chain around it: identity, permission, deadlines, headers, metrics.
"""
