"""A sandbox for untrusted programs: namespaces, seccomp, limits, and plain data as the only way out.

A *box* is one process in fresh user, mount, PID, network and IPC namespaces: a read-only file system that holds the
interpreter and nothing of yours, a private scratch folder, no network, no other process in sight, a system-call
filter and resource limits. It is rootless, needs no daemon, and costs a few milliseconds, because boxes are forked
from one small process, the zygote, that has Python already loaded and holds no data of any verdict.

    host.py       what your process uses: `Box`, `Limits`, `missing_protections`
    script.py     a box for a program with input and output
    zygote.py     forks boxes and supervises each until it has ended
    confine.py    namespaces, mounts and limits, in the order the kernel wants them
    seccomp.py    the system-call filter
    boot.py       how a fresh interpreter gets at these files alone
    wire.py       frames of JSON, and the plain data that may cross
    source.py     inside a box: from the pieces of a completion to a program
    guest.py      inside a box: loads the program and answers calls, or runs it with stdin and stdout
    run_tests.py  inside another box: runs tests whose calls travel to the guest
    rewrite.py    tests made ready to run there: imports, calls that are missing, counted asserts
    flow.py       where tests would take the program at its word
    remote.py     the program as those tests see it

What it promises, and what it does not: rewards/README.md, "What the sandbox promises, and its limits".
"""

from rlpath.rewards.sandbox.host import Box, BoxError, Isolation, Limits, best_isolation, missing_protections

__all__ = ["Box", "BoxError", "Isolation", "Limits", "best_isolation", "missing_protections"]
