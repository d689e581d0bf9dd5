"""`python -m auditsense`: the same command line as the program `auditsense`.

With -m Python looks for modules in the current folder first. That folder may be another user's, so it is
taken off the path before anything more is loaded. Python itself has looked there by then: as root use the
program, or `python -I -m auditsense`.
"""

from __future__ import annotations

import sys

if not sys.flags.safe_path and sys.path:
    del sys.path[0]

from auditsense.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
