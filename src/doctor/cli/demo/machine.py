"""A virtual machine: ``machine.py DISK HOST`` writes to its disk for as long as it and its host live.

Each line has the time, the host, the process, and whether another process had the disk open when this one began: two of
them believe to be the same machine.
"""

import fcntl
import os
import sys
import time

EVERY = 0.05  # seconds


def main(disk: str, host: str) -> None:
    """Be the machine."""
    keeper = os.getppid()
    with open(disk, "ab", buffering=0) as written:  # noqa: PTH123 - quick to start
        try:
            fcntl.flock(written, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a frozen process keeps what it has locked
            beside = "alone"
        except BlockingIOError:
            beside = "beside"
        while os.getppid() == keeper:
            written.write(f"{time.time():.3f} {host} {os.getpid()} {beside}\n".encode())
            time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
