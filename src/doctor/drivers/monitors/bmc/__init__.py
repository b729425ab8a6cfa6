"""What monitors of BMCs have in common, whatever these speak.

    a look at each BMC -> findings -> all that stands on its host: a Listing for each
                       -> records of its log -> RawEvents

`findings` are what can be wrong; `watching` asks all BMCs again and again, each by itself, so that one that hangs holds
up none.
"""
