# SPDX-License-Identifier: Apache-2.0
"""Unit and pipeline tests: what CMake's add_test knows.

GoogleTest binaries (hnv_test_*) run directly and are counted case by case from their own JSON; what
else is registered (code that must not compile) runs under ctest. A test belongs to `pipeline` when
its name, binary or label says so, to `unit` otherwise.
"""

import json
import os
import time
import xml.etree.ElementTree as xml

import trees
from command import LOGS, run

TIME_LIMIT = 600 * (4 if trees.SANITIZE else 1)
SANITIZER_OPTIONS = {"UBSAN_OPTIONS": "print_stacktrace=1", "TSAN_OPTIONS": "second_deadlock_stack=1"}


def unit(report, wanted):
    _run(report, wanted, pipeline=False)


def pipeline(report, wanted):
    _run(report, wanted, pipeline=True)


def _run(report, wanted, pipeline):
    tree = trees.test().build()
    folder = tree.path if os.path.exists(f"{tree.path}/CTestTestfile.cmake") else f"{tree.path}/tests"
    listing = run(["ctest", "--test-dir", folder, "--show-only=json-v1"], timeout=60)
    binaries, others = {}, []
    for test in json.loads(listing.output[listing.output.index("{"):])["tests"]:
        command = test.get("command", [])
        labels = [p["value"] for p in test.get("properties", ()) if p["name"] == "LABELS"]
        if pipeline != ("pipeline" in " ".join([test["name"], os.path.basename(command[0] if command else ""),
                                                str(labels)])):
            continue
        if command and os.path.basename(command[0]).startswith("hnv_test_"):
            arguments = [a for a in command[1:] if not a.startswith("--gtest")]
            binaries[os.path.basename(command[0])] = [command[0], *arguments]
        else:
            others.append(test["name"])
    for name, command in sorted(binaries.items()):
        _gtest(report, name, command, wanted)
    others = [name for name in others if wanted in name]
    if others:
        _ctest(report, folder, others)


def _gtest(report, name, command, wanted):
    result = os.path.join(LOGS, f"{name}.json")
    if os.path.exists(result):
        os.unlink(result)
    cases = [] if wanted in name else [f"--gtest_filter=*{wanted}*"]
    begin = time.monotonic()
    done = run([*command, *cases, f"--gtest_output=json:{result}", "--gtest_color=no"], TIME_LIMIT,
               log=os.path.join(LOGS, f"{name}.log"), env=SANITIZER_OPTIONS)
    passed, failures, skipped = _count(result)
    for case, why in failures:
        report.failed(f"{name} {case}", why)
    report.passed(passed)
    if not done.ok and not failures:
        running = [line[12:] for line in done.output.splitlines() if line.startswith("[ RUN      ] ")]
        last = f" in {running[-1].strip()}" if running else ""
        report.failed(name, f"{done.how()}{last}\n{done.tail()}")
    if passed or failures or skipped:
        remark = f", skipped {' '.join(skipped)}" if skipped else ""
        report.say(f"{name:28} {passed:5} passed {time.monotonic() - begin:7.1f} s{remark}")


def _count(path):
    """Cases that passed, (name, why) of those that failed, names of those that were skipped."""
    try:
        with open(path, encoding="utf-8") as file:
            suites = json.load(file)["testsuites"]
    except (FileNotFoundError, ValueError):
        return 0, [], []
    passed, failures, skipped = 0, [], []
    for case in (c for suite in suites for c in suite["testsuite"]):
        name = f"{case['classname']}.{case['name']}"
        if case.get("failures"):
            failures.append((name, "\n".join(f["failure"] for f in case["failures"])))
        elif case["result"] == "SKIPPED":
            skipped.append(name)
        elif case["result"] == "COMPLETED":
            passed += 1
    return passed, failures, skipped


def _ctest(report, folder, names):
    result = os.path.join(LOGS, "ctest.xml")
    if os.path.exists(result):
        os.unlink(result)
    begin = time.monotonic()
    done = run(["ctest", "--test-dir", folder, "-R", f"^({'|'.join(names)})$", "-j", trees.JOBS, "--timeout", "300",
                "--output-junit", result], TIME_LIMIT, log=os.path.join(LOGS, "ctest.log"))
    passed = failed = 0
    if os.path.exists(result):
        for case in xml.parse(result).getroot().iter("testcase"):
            if case.get("status") == "run":
                passed += 1
            else:
                failed += 1
                report.failed(case.get("name"), (case.findtext("system-out") or "")[-4000:])
    report.passed(passed)
    if passed + failed != len(names):
        report.failed("ctest", f"{passed + failed} of {len(names)} tests ran; {done.how()}\n{done.tail()}")
    report.say(f"{'ctest':28} {passed:5} passed {time.monotonic() - begin:7.1f} s")
