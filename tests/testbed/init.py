"""The first process of the node's namespaces: with it everything in them ends.

It goes when the pipe on its standard input closes, that is with whoever began
the node, unless told "stay". Its parent, outside, is ``unshare --kill-child``.
"""

import os
import signal

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans end up here; the kernel then leaves no zombies of them
os.write(1, b"here\n")
if os.read(0, 16) == b"stay":
    while True:
        signal.pause()
