# SPDX-License-Identifier: Apache-2.0
"""How the lint tree would compile each file, without what writes anything."""

import json
import os
import shlex

from command import TOP


def load(tree):
    with open(os.path.join(tree, "compile_commands.json"), encoding="utf-8") as file:
        return Commands(json.load(file))


class Commands:
    def __init__(self, entries):
        self._by_file = {}
        for entry in entries:
            name = os.path.relpath(os.path.join(entry["directory"], entry["file"]), TOP)
            self._by_file.setdefault(name, _compiler(shlex.split(entry["command"])))

    def of(self, source):
        """Compiler and flags for a source file; None when no target has it."""
        return self._by_file.get(source)

    def near(self, header):
        """Those of a source file of the nearest folder above the header, or of its sub-folders."""
        folder = os.path.dirname(header)
        while folder:
            for source, compiler in self._by_file.items():
                if source.startswith(folder + "/"):
                    return compiler
            folder = os.path.dirname(folder)
        return None


def _compiler(words):
    if os.path.basename(words[0]) == "ccache":
        words = words[1:]
    kept, skip = [], False
    for word in words[:-1]:  # the source file is the last one
        if skip:
            skip = False
        elif word in ("-o", "-MF", "-MT"):
            skip = True
        elif word not in ("-c", "-MD"):
            kept.append(word)
    return kept
