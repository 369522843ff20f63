# SPDX-License-Identifier: Apache-2.0
"""Build trees, all under build/. ccache makes those of a second clone quick."""

import json
import os
import time

from command import TOP, run

JOBS = max(2, os.cpu_count() or 2)
# Objects do not depend on where the tree lies: another clone finds them in the cache.
CCACHE = {"CCACHE_BASEDIR": TOP, "CCACHE_NOHASHDIR": "1"}
SANITIZE = os.environ.get("HNV_SANITIZE", "")


class BuildFailed(Exception):
    """The compiler's last words."""


class Tree:
    def __init__(self, name, **options):
        self.path = os.path.join(TOP, "build", name)
        self.options = {"HNV_WERROR": "ON", **options}

    def configure(self):
        """Runs cmake when the tree is new, or its options or any CMakeLists.txt are not what they were."""
        note = os.path.join(self.path, "hnv-options.json")
        wanted = json.dumps(self.options, sort_keys=True)
        known = os.path.exists(os.path.join(self.path, "build.ninja")) and _read(note) == wanted
        os.makedirs(self.path, exist_ok=True)
        done = run(["ninja", "-C", self.path, "build.ninja"] if known else
                   ["cmake", "-S", TOP, "-B", self.path, "-G", "Ninja",
                    *(f"-D{name}={value}" for name, value in self.options.items())], timeout=300)
        if not done.ok:
            raise BuildFailed(done.tail())
        if known:
            return self
        with open(note, "w", encoding="utf-8") as file:
            file.write(wanted)
        return self

    def build(self, *targets):
        self.configure()
        begin = time.monotonic()
        print(f"   building {os.path.relpath(self.path, TOP)} …", end="", flush=True)
        done = run(["cmake", "--build", self.path, "-j", JOBS, *(("--target", *targets) if targets else ())],
                   timeout=3600, env=CCACHE, log=os.path.join(TOP, "build", f"{os.path.basename(self.path)}.log"))
        print(f" {time.monotonic() - begin:.0f} s", flush=True)
        if not done.ok:
            failed = done.output[max(0, done.output.find("FAILED:")):]
            # Without the command lines, which are long and in the log.
            raise BuildFailed("\n".join(line[:300] for line in failed.splitlines() if len(line) < 1000)[:8000])
        return self

    def targets(self, prefix):
        """Names of the tree's targets that begin with prefix. REQUIRES configure()."""
        done = run(["ninja", "-C", self.path, "-t", "targets", "all"], timeout=60)
        return sorted({line.partition(":")[0] for line in done.output.splitlines()
                       if line.startswith(prefix) and line.endswith(": phony")})

    def binaries(self, prefix):
        """Executables of the tree whose name begins with prefix, by name."""
        found = {}
        for folder, folders, files in os.walk(self.path):
            folders[:] = [f for f in folders if f != "CMakeFiles"]
            for name in files:
                path = os.path.join(folder, name)
                if name.startswith(prefix) and "." not in name and os.access(path, os.X_OK):
                    found[name] = path
        return dict(sorted(found.items()))


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def release():
    """What packaging/lab starts: Release with link-time optimisation."""
    return Tree("release", CMAKE_BUILD_TYPE="Release", HNV_WERROR="OFF")


def test():
    """What the tests link: asserts are on; sanitizers when HNV_SANITIZE asks for them."""
    flags = "-O1 -g1"
    if SANITIZE:
        return Tree("test-" + SANITIZE.replace(",", "-"), CMAKE_BUILD_TYPE="Debug",
                    CMAKE_CXX_FLAGS_DEBUG=flags, HNV_SANITIZE=SANITIZE)
    return Tree("test", CMAKE_BUILD_TYPE="Debug", CMAKE_CXX_FLAGS_DEBUG=flags)


def fuzz():
    return Tree("fuzz", CMAKE_BUILD_TYPE="Debug", CMAKE_CXX_COMPILER="clang++", CMAKE_CXX_FLAGS_DEBUG="-O1 -g1",
                HNV_FUZZ="ON", HNV_TESTS="OFF")


def bench():
    return Tree("bench", CMAKE_BUILD_TYPE="Release", HNV_BENCH="ON", HNV_TESTS="OFF")


def lint():
    """Never built: its compile_commands.json, in clang's words, is what lint reads."""
    return Tree("lint", CMAKE_BUILD_TYPE="Debug", CMAKE_CXX_COMPILER="clang++", HNV_BENCH="ON", HNV_FUZZ="ON",
                HNV_TESTS="ON")
