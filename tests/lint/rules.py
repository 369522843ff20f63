# SPDX-License-Identifier: Apache-2.0
"""Rules on the text of the tree. Each takes the tracked files and answers `path:line: fault`s."""

import os
import re

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))

TOP_LEVEL = {"CMakeLists.txt", "LICENSE", "README.md", "gateway", "compartments", "vpn", "bgp", "nat", "api", "tests",
             "packaging"}

# Whose headers a folder may include. `gateway` is nobody's but the tests'.
MAY_INCLUDE = {
    "compartments": {"compartments"},
    "nat": {"compartments", "nat"},
    "vpn": {"compartments", "vpn"},
    "bgp": {"compartments", "bgp"},
    "api": {"compartments", "nat", "vpn", "bgp", "api"},
    "gateway": {"compartments", "nat", "vpn", "bgp", "api", "gateway"},
    "tests": {"compartments", "nat", "vpn", "bgp", "api", "gateway", "tests"},
}

# Written so that this file does not hold the words it forbids.
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX|HACK)\b|\b(stu" r"b|stu" r"bbed|not implemented)\b")
FOREIGN = re.compile(
    r"(deb\.debian\.org|security\.debian\.org|archive\.ubuntu\.com|pypi\.org|pythonhosted\.org|registry\.npmjs\.org|"
    r"proxy\.golang\.org|crates\.io|(?<![\w.])/(work|root|home)/[\w.-])")
SLEEP = re.compile(r"\b(sleep|usleep|nanosleep|sleep_for|sleep_until)\s*\(")


def _lines(path):
    with open(os.path.join(TOP, path), encoding="utf-8", errors="replace") as file:
        return list(enumerate(file.read().splitlines(), 1))


def _text(files):
    """Files that people write; corpora, captures and databases are bytes."""
    return [f for f in files if "/corpus/" not in f
            and not f.endswith((".pcap", ".pcapng", ".db", ".bin", ".png", ".ico"))]


def _search(files, pattern, what):
    return [f"{path}:{number}: {what}: {line.strip()[:100]}"
            for path in files for number, line in _lines(path) if pattern.search(line)]


def top_level(files):
    names = {f.split("/")[0] for f in files}
    return [f"{n}: not part of the top level (gateway/ARCHITECTURE.md, Folders)"
            for n in sorted(names) if n not in TOP_LEVEL and not n.startswith(".")]


def licence_line(files):
    wanted = [f for f in files if f.endswith((".cc", ".h", ".c", ".py", ".cmake", ".sh", "CMakeLists.txt", "openapi.yaml"))
              or _lines(f)[:1] and _lines(f)[0][1].startswith("#!")]
    return [f"{f}:1: no SPDX-License-Identifier in the first three lines" for f in wanted
            if not any("SPDX-License-Identifier:" in line for _, line in _lines(f)[:3])]


def include_rule(files):
    """compartments ← {nat, vpn, bgp} ← api ← gateway; includes are written from the root."""
    faults, known = [], set(files)
    include = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')
    for path in (f for f in files if f.endswith((".cc", ".h"))):
        folder = path.split("/")[0]
        for number, line in _lines(path):
            found = include.match(line)
            if not found:
                continue
            quote, name = found.groups()
            target = name.split("/")[0]
            if quote == "<":
                if target in MAY_INCLUDE and name in known:
                    faults.append(f"{path}:{number}: our own headers are included with quotes: {name}")
            elif name not in known:
                faults.append(f"{path}:{number}: includes are written from the root and name a tracked file: {name}")
            elif target not in MAY_INCLUDE.get(folder, set()):
                faults.append(f"{path}:{number}: {folder} may not include {target} ({name})")
    return faults


def words(files):
    """Nothing unfinished is left behind, and nothing of the machine it was written on."""
    text = [f for f in _text(files) if f not in ("LICENSE", "tests/lint/rules.py")]
    return (_search(text, UNFINISHED, "say what is there, or leave it out") +
            _search(text, FOREIGN, "a package host or a path of somebody's machine"))


def no_sleep(files):
    """Tests wait for events (tests/netns/support/wait.py) or use a manual clock."""
    return _search([f for f in files if f.startswith("tests/") and f.endswith((".cc", ".h", ".py"))], SLEEP,
                   "tests do not sleep")


def folder_readme(files):
    have = set(files)
    return [f"{folder}/README.md is missing" for folder in sorted(TOP_LEVEL)
            if "." not in folder and folder != "LICENSE" and f"{folder}/README.md" not in have]


def links(files):
    """Links between documents name what is there."""
    faults, have = [], set(files) | {os.path.dirname(f) for f in files}
    for path in (f for f in files if f.endswith(".md")):
        for number, line in _lines(path):
            for target in re.findall(r"\]\(([^)#\s]+)", line):
                if "://" not in target and os.path.normpath(os.path.join(os.path.dirname(path), target)) not in have:
                    faults.append(f"{path}:{number}: a link to what is not there: {target}")
    return faults
