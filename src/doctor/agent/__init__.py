"""The agent of a host: says several times a second that the host is there, and at once what it sees go wrong on it.

    sources (links, ...) -> Report -> spool -> sending -> Doctor's /v1/events
    beating -> signed datagrams -> the heartbeat monitor of Doctor

It runs on every host, so it is small: it imports nothing of the server, and what only some need is imported when it is used.
Each source is a file of its own, with what it decides apart from the sockets and files that it reads.
"""
