# SPDX-License-Identifier: Apache-2.0
"""The fast bed: scenarios run on this host's /dev/kvm."""

import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed


def run(jobs, stage, results, workers):
    """Run the jobs ({id: scenario}); yield (id, folder, None) as they finish."""

    def one(job):
        folder = results / job
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "run.log", "wb") as log:
            subprocess.run(["sh", stage / "jobs" / job / "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        return job, folder, None

    with ThreadPoolExecutor(workers) as pool:
        for future in as_completed([pool.submit(one, job) for job in jobs]):
            yield future.result()
