"""What a study's background process runs: `python -m vlmrb.studies JOB`, started by the queue, not by hand."""

from __future__ import annotations

import sys

from vlmrb.jobs.executing import execute
from vlmrb.store import Store
from vlmrb.studies.background import work

if __name__ == "__main__":
    with Store(create=False) as store:
        sys.exit(execute(store, int(sys.argv[1]), lambda _: work))
