"""With pytest -n, every worker keeps to one processor, and so do the programs that it starts: engines take as many threads
as they find processors, and threads that wait for each other while other engines run are slow."""

import os
import re


def pytest_configure(config):
    worker = re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", ""))
    if worker and hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[int(worker.group(1)) % len(processors)]})
