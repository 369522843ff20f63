# SPDX-License-Identifier: Apache-2.0
"""tests/run, behind its options. tests/run itself says how to call it."""

import argparse
import os
import signal
import sys
import traceback

import command
import trees
from bench import bench
from fuzz import fuzz
from lint import lint
from netns import netns
from report import Report
from unit import pipeline, unit

SUITES = {"unit": unit, "pipeline": pipeline, "netns": netns, "lint": lint, "fuzz": fuzz, "bench": bench}
GROUPS = {"default": ["unit", "pipeline", "netns", "lint"], "all": ["unit", "pipeline", "netns", "lint", "fuzz"],
          "sanitized": ["unit", "pipeline", "netns"]}


def options():
    parser = argparse.ArgumentParser(prog="tests/run", usage="tests/run [SUITE] [FILTER] [-i] [--json FILE] [--full]; "
                                     "tests/run --help says more")
    parser.add_argument("suite", nargs="?", choices=[*SUITES, "all"])
    parser.add_argument("filter", nargs="?", default="")
    parser.add_argument("-i", "--inspect", action="store_true")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--full", action="store_true")
    chosen = parser.parse_intermixed_args()
    if chosen.inspect and chosen.suite != "netns":
        parser.error("-i is for netns")
    if (chosen.json or chosen.full) and chosen.suite != "bench":
        parser.error("--json and --full are for bench")
    if chosen.json:
        chosen.json = os.path.abspath(chosen.json)
    return chosen


def main():
    chosen = options()
    if chosen.suite == "all":
        suites = GROUPS["all"]
    elif chosen.suite:
        suites = [chosen.suite]
    else:
        suites = GROUPS["sanitized" if trees.SANITIZE else "default"]
    os.makedirs(command.LOGS, exist_ok=True)

    def stop(number, _frame):
        raise command.Interrupted(signal.Signals(number).name)
    ends = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in ends:
        signal.signal(number, stop)

    report = Report()
    try:
        for name in suites:
            with report.suite(name):
                extra = {"netns": {"inspect": chosen.inspect},
                         "bench": {"json_file": chosen.json, "full": chosen.full}}.get(name, {})
                try:
                    SUITES[name](report, chosen.filter, **extra)
                except trees.BuildFailed as error:
                    report.failed("build", str(error))
                except command.Interrupted:
                    raise
                except Exception:  # noqa: BLE001 - a suite that breaks is a failure, not the end
                    report.failed(name, traceback.format_exc())
    except command.Interrupted as signal_name:
        for number in ends:
            signal.signal(number, signal.SIG_IGN)
        report.failed("interrupted", str(signal_name))
    finally:
        command.stop_everything()
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
