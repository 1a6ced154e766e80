"""The one exception for what a user can mend: bad input, a missing file, a machine too small.

A command prints it as a single sentence and exits with status 2; anything else is a defect of rlpath and keeps its
traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user can mend; the message is one sentence that names the file, field or value and the remedy."""


class Unreachable(InputError):
    """Data or a model that is neither here nor to be had from where it is published; another may take its place."""


def run_command(command: Callable[[], int | None]) -> None:
    """Call `command` and leave the process with its status; an `InputError` becomes one line on stderr and status 2.

    Ctrl-C becomes one line and status 130.
    """
    try:
        status = command()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from what was saved", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(status or 0)
