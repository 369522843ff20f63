# SPDX-License-Identifier: Apache-2.0
"""Remembers which files were found clean, so that lint looks only at what changed.

A verdict is keyed by the tool's version, its configuration, the command and the content of every file
that the compiler reads. It lives beside the compiler's cache, not in the tree: a fresh clone finds
the same content there. Only clean verdicts are kept; a fault is looked for each time anew.
"""

import functools
import hashlib
import os
import subprocess
import threading
import time

from command import TOP

FOLDER = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hnv-gateway-lint")
KEPT_SECONDS = 30 * 24 * 3600


class Key:
    def __init__(self, kind, command, name):
        text = "\0".join([kind, name, _version(), *_configuration(name), *command]).replace(TOP, "")
        self._key = hashlib.sha256(text.encode()).hexdigest()
        self._list = os.path.join(FOLDER, self._key + ".files")

    def clean(self):
        """Whether the same content was clean before."""
        try:
            with open(self._list, encoding="utf-8") as file:
                verdict = self._verdict(file.read().splitlines())
            os.utime(verdict)
            os.utime(self._list)
            return True
        except FileNotFoundError:
            return False

    def remember(self, files):
        names = sorted({os.path.relpath(f, TOP) if f.startswith(TOP + "/") else f for f in files})
        os.makedirs(FOLDER, exist_ok=True)
        with open(self._verdict(names), "w", encoding="utf-8"):
            pass
        temporary = f"{self._list}.{os.getpid()}.{threading.get_ident()}"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write("\n".join(names))
        os.replace(temporary, self._list)

    def _verdict(self, names):
        content = hashlib.sha256(self._key.encode())
        for name in names:
            content.update(_content(os.path.join(TOP, name)).encode())
        return os.path.join(FOLDER, content.hexdigest() + ".clean")


def read_by(make_rule):
    """The files of a compiler's -M answer."""
    return [os.path.normpath(os.path.join(TOP, word))
            for word in make_rule.partition(":")[2].replace("\\\n", " ").split()
            if not word.startswith(os.path.join(TOP, "build") + "/")]


def prune():
    """Forgets what nobody asked for in a month."""
    oldest = time.time() - KEPT_SECONDS
    for entry in os.scandir(FOLDER) if os.path.isdir(FOLDER) else ():
        if entry.stat().st_mtime < oldest:
            os.unlink(entry.path)


@functools.lru_cache(maxsize=None)
def _content(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _configuration(name):
    """Every .clang-tidy that holds for a file."""
    folders = name.split("/")[:-1]
    paths = [os.path.join(TOP, *folders[:depth], ".clang-tidy") for depth in range(len(folders) + 1)]
    return [_content(path) for path in paths if os.path.exists(path)]


@functools.lru_cache(maxsize=None)
def _version():
    return subprocess.run(["clang-tidy", "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=True,
                          text=True).stdout
