"""What a background process runs: `python -m vlmrb.jobs JOB`, started by the queue, not by hand."""

from __future__ import annotations

import sys

from vlmrb.jobs.executing import execute
from vlmrb.store import Store

if __name__ == "__main__":
    with Store(create=False) as store:
        sys.exit(execute(store, int(sys.argv[1])))
