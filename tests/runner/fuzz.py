# SPDX-License-Identifier: Apache-2.0
"""Fuzzing: each hnv_fuzz_NAME on a copy of tests/fuzz/corpus/NAME, for HNV_FUZZ_SECONDS."""

import os
import re
import shutil
import time

import trees
from command import LOGS, TOP, run

SECONDS = int(os.environ.get("HNV_FUZZ_SECONDS", "30"))


def fuzz(report, wanted):
    tree = trees.fuzz().configure()
    names = [name for name in tree.targets("hnv_fuzz_") if wanted in name]
    if names:
        tree.build(*names)
    for name, binary in tree.binaries("hnv_fuzz_").items():
        if name in names:
            _fuzz(report, name, binary)


def _fuzz(report, name, binary):
    corpus = os.path.join(TOP, "build", "fuzz-corpus", name)
    seeds = os.path.join(TOP, "tests", "fuzz", "corpus", name.removeprefix("hnv_fuzz_"))
    found = os.path.join(LOGS, f"{name}-")
    shutil.rmtree(corpus, ignore_errors=True)
    os.makedirs(corpus)
    begin = time.monotonic()
    done = run([binary, corpus, *([seeds] if os.path.isdir(seeds) else []), f"-max_total_time={SECONDS}", "-timeout=10",
                "-rss_limit_mb=4096", "-print_final_stats=1", f"-artifact_prefix={found}"],
               SECONDS + 300, log=os.path.join(LOGS, f"{name}.log"))
    runs = re.search(r"number_of_executed_units: (\d+)", done.output)
    if not done.ok:
        report.failed(name, f"{done.how()}; the input is {os.path.relpath(found, TOP)}*\n{done.tail(60)}")
    elif not runs or int(runs.group(1)) == 0:
        report.failed(name, "ran nothing")
    else:
        report.passed()
        report.say(f"{name:28} {int(runs.group(1)):12,} runs {time.monotonic() - begin:7.1f} s")
