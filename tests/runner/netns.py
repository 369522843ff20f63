# SPDX-License-Identifier: Apache-2.0
"""Topologies: each tests/netns/test_*.py in turn, its `ok` and `not ok` lines counted."""

import glob
import os
import sys
import time

import trees
from command import LOGS, TOP, run

FOLDER = os.path.join(TOP, "tests", "netns")
TIME_LIMIT = 600 * (3 if trees.SANITIZE else 1)
# charon's plugin, and what test_charon_control and test_bgpd_control run in the place of a gateway.
PARTS = ("hnv_charon_driver", "strongswan-hnv-gateway", "hnv_bgpd_driver")
RELEASE = bool(os.environ.get("HNV_RELEASE"))  # the gateway that packaging/lab starts
TAIL = 80  # lines of a failed topology's log that are shown; it ends with drops and traces


def netns(report, wanted, inspect=False):
    scripts = [s for s in sorted(glob.glob(f"{FOLDER}/test_*.py")) if wanted in os.path.basename(s)]
    if inspect and len(scripts) != 1:
        report.failed("netns -i", f"needs a FILTER that names one topology; '{wanted}' names {len(scripts)}")
        return
    if os.geteuid() != 0:
        report.failed("netns", "network namespaces need root")
        return
    tree = (trees.release() if RELEASE else trees.test()).build("hnv-gateway", "hnvctl", *PARTS)
    binaries = [f"--gateway={tree.path}/gateway/hnv-gateway", f"--hnvctl={tree.path}/api/hnvctl"]
    for script in scripts:
        _topology(report, script, [*binaries, *(["-i"] if inspect else [])], show_all=len(scripts) == 1)


def _topology(report, script, arguments, show_all):
    name = os.path.basename(script)[:-3]
    log = os.path.join(LOGS, f"{name}.log")
    seen = {"passed": 0, "failed": 0}

    def on_line(line):
        if line.startswith("ok "):
            seen["passed"] += 1
            report.passed()
            if show_all:
                report.say(line)
        elif line.startswith("not ok "):
            seen["failed"] += 1
            check, _, why = line[7:].partition(": ")
            report.failed(f"{name}: {check}", why)
        elif show_all and line.startswith("#"):
            report.say(line)

    begin = time.monotonic()
    # It is told to clean up also when nobody can tell us to: kill -9 of tests/run.
    done = run(["setpriv", "--pdeathsig", "TERM", script, *arguments], TIME_LIMIT, log=log, on_line=on_line)
    if done.status is None:
        _remove(done.pid)
    if done.ok != (seen["passed"] > 0 and seen["failed"] == 0):
        report.failed(name, f"{done.how()} after {seen['passed']} checks that held")
        seen["failed"] += 1
    if seen["failed"]:
        report.say(f"---- the end of {os.path.relpath(log, TOP)}\n{done.tail(TAIL)}\n----")
    report.say(f"{name:28} {seen['passed']:5} passed {time.monotonic() - begin:7.1f} s")


def _remove(pid):
    """What a topology that had to be killed left behind; it is called after the script's pid."""
    sys.path.insert(0, FOLDER)
    from support.run import Run  # noqa: PLC0415 - needed only here
    Run(f"t{pid}", fresh=False).remove()
