"""What a background process runs: `python -m vlmrb.jobs JOB [ATTEMPT]`, started by a launcher, not by hand."""

from __future__ import annotations

import sys

from vlmrb.jobs.executing import execute
from vlmrb.store import Store

if __name__ == "__main__":
    with Store(create=False) as store:
        job_id, attempt, *_ = (*map(int, sys.argv[1:]), 0)
        sys.exit(execute(store, job_id, attempt=attempt))
