# SPDX-License-Identifier: Apache-2.0
"""Lint: one check a line of the table at the end; FILTER chooses among their names.

A check answers the list of its faults, each `path:line: what is wrong`. What the compilers look at
(headers, clang-tidy) is counted file by file and remembered; see lint_cache.
"""

import concurrent.futures
import os
import py_compile
import re
import subprocess
import sys
import tempfile
import time

import compile_commands
import lint_cache
import trees
from command import TOP, Interrupted, run, stop_everything

sys.path.insert(0, os.path.join(TOP, "tests", "lint"))
import drop_manual  # noqa: E402 - lives with the checks
import rules  # noqa: E402

FAULTS_SHOWN = 60


def lint(report, wanted):
    files = tracked()
    for name, check in CHECKS.items():
        if wanted in name:
            begin = time.monotonic()
            check(report, name, files)
            report.say(f"{name:28} {time.monotonic() - begin:7.1f} s")


def tracked():
    """What git knows or would add: a new file is held to the rules before it is committed."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=TOP,
                         stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True).stdout
    return [f for f in sorted(set(out.split("\0"))) if f and os.path.isfile(os.path.join(TOP, f))]


def _verdict(report, name, faults):
    if faults:
        more = [f"… and {len(faults) - FAULTS_SHOWN} more"] if len(faults) > FAULTS_SHOWN else []
        report.failed(name, "\n".join(["", *faults[:FAULTS_SHOWN], *more]).rstrip() + " ")
    else:
        report.passed()


def _rule(check):
    return lambda report, name, files: _verdict(report, name, check(files))


def _command(argv, choose, timeout=300):
    """A tool that looks at all its files at once."""
    def check(report, name, files):
        chosen = choose(files)
        if chosen:
            done = run([*argv, *chosen], timeout)
            _verdict(report, name, [] if done.ok else done.output.splitlines() or [done.how()])
    return check


def _first_line(path):
    with open(os.path.join(TOP, path), "rb") as file:
        return file.readline(200)


def shell_scripts(files):
    return [f for f in files if re.match(rb"#!.*\b(ba)?sh\b", _first_line(f))]


def python_scripts(files):
    return [f for f in files if f.endswith(".py") or re.match(rb"#!.*\bpython3\b", _first_line(f))]


def cpp(files):
    return [f for f in files if f.endswith((".cc", ".h"))]


def _python(report, name, files):
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for file in python_scripts(files):
            try:
                py_compile.compile(os.path.join(TOP, file), cfile=os.path.join(folder, "x.pyc"), doraise=True)
            except py_compile.PyCompileError as error:
                faults.append(f"{file}: {error.msg.strip()}")
    _verdict(report, name, faults)


def _headers(report, name, files):
    """Every header compiles alone, with the flags of a source file near it."""
    commands = compile_commands.load(trees.lint().configure().path)
    _each(report, name, [f for f in files if f.endswith(".h")],
          lambda header: _alone(commands, header))


def _alone(commands, header):
    compiler = commands.near(header)
    if compiler is None:
        return f"{header}: no source file of a folder near it is compiled"
    probe = os.path.join(TOP, "build", "lint", "headers", header + ".cc")
    os.makedirs(os.path.dirname(probe), exist_ok=True)
    with open(probe, "w", encoding="utf-8") as file:
        file.write(f'#include "{header}"\n')
    return _remembered("header", compiler, probe, header, [*compiler, "-fsyntax-only", probe])


def _clang_tidy(report, name, files):
    tree = trees.lint().configure().path
    commands = compile_commands.load(tree)
    sources = [f for f in files if f.endswith(".cc") and commands.of(f)]
    unknown = [f for f in files if f.endswith(".cc") and not commands.of(f) and "/compile_fail/" not in f
               and not f.startswith("vpn/charon/")]
    if unknown:
        report.failed(name, "no target compiles\n" + "\n".join(unknown))
    _each(report, name, sources, lambda source: _remembered(
        "tidy", commands.of(source), os.path.join(TOP, source), source,
        ["clang-tidy", "--quiet", "-p", tree, os.path.join(TOP, source)]))


def _remembered(kind, compiler, path, name, argv):
    """Runs argv unless it was clean for the same content before. Answers what is wrong, or nothing."""
    key = lint_cache.Key(kind, [*compiler, *argv], name)
    if key.clean():
        return ""
    reads = run([*compiler, "-M", path], timeout=120)
    done = run(argv, timeout=600)
    if not done.ok:
        return "\n".join(line for line in done.output.splitlines() if not line.endswith("warnings generated."))
    if reads.ok:
        key.remember(lint_cache.read_by(reads.output))
    return ""


def _each(report, name, files, check):
    with concurrent.futures.ThreadPoolExecutor(trees.JOBS) as pool:
        verdicts = {pool.submit(check, file): file for file in files}
        try:
            for done in concurrent.futures.as_completed(verdicts):
                if done.result():
                    report.failed(f"{name} {verdicts[done]}", done.result().replace(TOP + "/", ""))
                else:
                    report.passed()
        except Interrupted:
            stop_everything()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    lint_cache.prune()


CHECKS = {
    "top-level": _rule(rules.top_level),
    "licence-line": _rule(rules.licence_line),
    "include-rule": _rule(rules.include_rule),
    "words": _rule(rules.words),
    "no-sleep": _rule(rules.no_sleep),
    "folder-readme": _rule(rules.folder_readme),
    "links": _rule(rules.links),
    "drop-manual": _rule(drop_manual.faults),
    "shellcheck": _command(["shellcheck", "--severity=info"], shell_scripts),
    "python": _python,
    "clang-format": _command(["clang-format", "--dry-run", "-Werror"], cpp),
    "headers": _headers,
    "clang-tidy": _clang_tidy,
}
