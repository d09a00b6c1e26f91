#!/usr/bin/env python3
"""Holds the tree to the rules that a compiler does not check. Prints every breach and fails if there is one.

  includes.py ROOT     check a tree
  includes.py          check that each rule can fail, on small trees made for it

Rules: includes run one way, launch -> techniques -> parallel -> models -> runtime, and so between the rooms of parallel and of a run in launch;
no rooms of a layer include each other in a circle; parallel knows of models only their interface; some rooms are free of LibTorch, and what nvcc compiles is, through whatever they include; LibTorch and spdlog (each with an fmt of its own)
never meet in a file; torch/torch.h (28 s to compile) nowhere; no file over 400 lines; no path of one machine; the program asks no shell; no file called test_SUBJECT:
tests stand in SUBJECT_test.cpp; no two files define a type of one name in one namespace, of which the linker would keep one's functions for both.
"""
import os
import re
import sys
import tempfile

LAYERS = ["runtime", "models", "parallel", "techniques", "launch", "tests"]  # each may include itself and what stands before it
MODELS_INTERFACE = {"models/model.h", "models/costs.h", "models/insertion.h", "models/insertion_site.h", "models/parameter_access.h"}
TORCH_FREE = ["runtime/core/", "runtime/statistics/", "runtime/storage/", "runtime/observe/", "parallel/plan/", "parallel/transport/"]
# Rooms inside those that exist for LibTorch, so that what stands beside them can do without.
TORCH_ROOMS = ["runtime/storage/tensors/", "parallel/transport/nccl/module/"]
# What these rooms may include of the layer they stand in, beside themselves.
ROOMS = {
    "parallel/plan": [],
    "parallel/transport": [],
    "parallel/technique": [],
    "parallel/stage": ["parallel/plan", "parallel/technique"],
    "parallel/engine": ["parallel/plan", "parallel/technique", "parallel/stage", "parallel/transport"],
    "parallel/keeping": ["parallel/plan", "parallel/technique", "parallel/stage", "parallel/transport", "parallel/engine"],
    "launch/settings": [],
    "launch/version": [],
    "launch/folders": ["launch/settings", "launch/version"],
    "launch/forecast": ["launch/settings"],
    "launch/run": ["launch/settings", "launch/folders", "launch/forecast"],
}
SOURCES = (".h", ".cpp", ".cu", ".cuh")
TEXTS = SOURCES + (".py", ".sh", ".md", ".toml", ".cmake", ".txt", ".json", ".sbatch", "")
NOT_OURS = {".git", "build", "runs", "__pycache__"}
LONGEST = 400
TORCH = re.compile(r"(ATen|c10|torch|caffe2)/")
INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")', re.MULTILINE)
# A path with an apostrophe in it is a command to a shell. Programs are started by name and words (exec, posix_spawn).
SHELL = re.compile(r"(?<![\w.])(?:(?:std)?::)?(?:popen|system|wordexp)\s*\(|\"(?:/usr)?/bin/(?:ba|da)?sh\"|\"(?:ba|da)?sh\", *\"-c\"")
MACHINE_PATH = re.compile(r"(?<![\w.*}$-])/(work|root|home/\w+|tmp/brief)/")


NAMESPACE = re.compile(r"^namespace\s*([\w:]*)\s*\{")
TYPE = re.compile(r"^(?:struct|class|union|enum(?: class)?)\s+(?:alignas\([^)]*\)\s*)?(\w+)(?: final)?\s*(?::(?!:)|\{)")


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = {}
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in NOT_OURS]
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), root)
                if os.path.splitext(name)[1] in TEXTS:
                    with open(os.path.join(root, path), "rb") as file:
                        content = file.read()
                    if b"\0" not in content:
                        self.files[path] = content.decode("utf-8", "replace")
        self.reached = {}

    def includes(self, path):
        for match in INCLUDE.findall(self.files[path]):
            yield match[0] == '"', match[1:-1]

    def reach(self, path):
        """What a file includes from outside, and through which file of ours; computed once per file."""
        if path not in self.reached:
            self.reached[path] = {}  # a circle of includes ends here
            found = {}
            for _, name in self.includes(path):
                if name in self.files:
                    for outside in self.reach(name):
                        found.setdefault(outside, name)
                else:
                    found.setdefault(name, path)
            self.reached[path] = found
        return self.reached[path]


def layer(path):
    top = path.split("/")[0]
    return LAYERS.index(top) if top in LAYERS else None


def room(path):
    return "/".join(path.split("/")[:2])


def include_breaches(tree, path):
    own = layer(path)
    for quoted, name in tree.includes(path):
        if quoted and name not in tree.files:
            yield f'includes "{name}", which is no file of ours (paths start at the root)'
            continue
        other = layer(name) if name in tree.files else None
        if other is not None and own is not None and other > own:
            yield f"includes {name}: {LAYERS[own]} may not know {LAYERS[other]}"
        own_room, other_room = room(path), room(name)
        if own_room in ROOMS and layer(name) == own and other_room not in [own_room] + ROOMS[own_room]:
            yield f"includes {name}: {own_room} may not know {other_room}"
        if path.startswith("parallel/") and name.startswith("models/") and name not in MODELS_INTERFACE:
            yield f"includes {name}: parallel knows models by {' and '.join(sorted(MODELS_INTERFACE))} only"
    outside = tree.reach(path)
    torch = sorted(name for name in outside if TORCH.match(name))
    if torch and path.startswith(tuple(TORCH_FREE)) and not path.startswith(tuple(TORCH_ROOMS)):
        yield f"is free of LibTorch, but {torch[0]} comes in through {outside[torch[0]]}"
    if torch and path.endswith((".cu", ".cuh")):
        yield f"is compiled by nvcc, which takes half a minute for LibTorch: {torch[0]} comes in through {outside[torch[0]]}"
    if torch and any(name.startswith("spdlog/") for name in outside):
        yield "brings LibTorch and spdlog together: use runtime/core/log.h"
    if "torch/torch.h" in outside:
        yield f"includes torch/torch.h through {outside['torch/torch.h']}: take the headers of what is used"


def room_circles(tree):
    """Rooms of one layer that reach each other through their includes; each circle once, by its first room. The order of ROOMS is kept elsewhere."""
    arrows = {}
    for path in tree.files:
        if path.endswith(SOURCES) and path.count("/") > 1 and layer(path) is not None and room(path) not in ROOMS:
            rooms = {room(name) for quoted, name in tree.includes(path) if quoted and name.count("/") > 1 and layer(name) == layer(path)}
            arrows.setdefault(room(path), set()).update(rooms - {room(path)})

    def reach(start):
        reached, waiting = set(), [start]
        while waiting:
            for other in arrows.get(waiting.pop(), ()):
                if other not in reached:
                    reached.add(other)
                    waiting.append(other)
        return reached

    reached = {start: reach(start) for start in arrows}
    for start in sorted(arrows):
        circle = sorted(other for other in reached[start] if start in reached.get(other, ()))
        if circle and start == circle[0]:
            yield f"{start}: includes run in a circle through {', '.join(circle)}"


def breaches(root):
    tree = Tree(root)
    found = list(room_circles(tree))
    for path, text in sorted(tree.files.items()):
        if path.endswith(SOURCES):
            found += [f"{path}: {breach}" for breach in include_breaches(tree, path)]
        lines = text.count("\n")
        if lines > LONGEST and not path.endswith((".json", ".txt")):
            found.append(f"{path}: {lines} lines; {LONGEST} are the most")
        if path.startswith("tests/") and os.path.basename(path).startswith("test_"):
            found.append(f"{path}: files with tests are called SUBJECT_test.cpp")
        for number, line in enumerate(text.split("\n"), 1):
            if path.endswith(SOURCES) and layer(path) is not None and not path.startswith("tests/") and SHELL.search(line):
                found.append(f"{path}:{number}: asks a shell: {line.strip()}")
            if MACHINE_PATH.search(line):
                found.append(f"{path}:{number}: a path of one machine: {line.strip()}")
    found += doubled_types(tree)
    return found, len(tree.files)


def types_of(text):
    """The types that a file defines at the level of a namespace that has a name, as the tree's format has them: at the beginning of a line."""
    scope = []
    for line in text.split("\n"):
        if opened := NAMESPACE.match(line):
            scope.append(opened[1])
        elif line.startswith("}  // namespace") and scope:
            scope.pop()
        elif "" not in scope and (defined := TYPE.match(line)):
            yield "::".join(scope + [defined[1]])


def doubled_types(tree):
    """What tests define stands in programs of their own."""
    first = {}
    for path in sorted(tree.files):
        if not path.endswith(SOURCES) or path.startswith("tests/"):
            continue
        for name in types_of(tree.files[path]):
            if first.setdefault(name, path) != path:
                yield f"{path}: defines {name}, and so does {first[name]}: one program cannot have both"


CLEAN = {
    "runtime/core/a.h": "#pragma once\n#include <string>\n",
    "runtime/core/log.cpp": "#include <spdlog/spdlog.h>\n",
    "runtime/storage/tensors/t.h": '#include <ATen/core/Tensor.h>\n',
    "models/model.h": '#include <ATen/core/Tensor.h>\n#include "runtime/core/a.h"\n',
    "models/roberta.h": '#include "models/model.h"\n',
    "parallel/plan/plan.h": '#include "runtime/core/a.h"\n',
    "parallel/engine/engine.h": '#include "models/model.h"\n#include "parallel/plan/plan.h"\n',
    "launch/settings/s.h": '#include "runtime/core/a.h"\n',
    "launch/run/r.h": '#include "launch/settings/s.h"\n#include "models/roberta.h"\n',
    "launch/commands/c.cpp": '#include "launch/run/r.h"\n',
    "launch/page/p.h": '#include "launch/main.cpp"\nnamespace interlock {\nstruct Known {\n};\n}  // namespace interlock\n',
    "launch/page/q.cpp": "namespace interlock {\nclass Known;\nnamespace {\nstruct Known {\n};\n}  // namespace\nstruct Known::Part {\n};\n}  // namespace interlock\n",
    "launch/report/r.h": '#include "launch/page/p.h"\n',
    "launch/main.cpp": '#include "models/roberta.h"\n',
    "tests/core/a_test.cpp": "TEST(A, B) {}\n",
    "README.md": "see https://example.org/work/x and ./root/y\n",
}
BROKEN = {  # what to add to the clean tree -> the words of the breach
    "runtime/data/a.h": ('#include "models/model.h"\n', "runtime may not know models"),
    "models/b.cpp": ('#include "parallel/plan/plan.h"\n', "models may not know parallel"),
    "parallel/b.cpp": ('#include "models/roberta.h"\n', "parallel knows models by"),
    "parallel/plan/b.cpp": ('  #  include <ATen/ops/add.h>\n', "ATen/ops/add.h comes in through parallel/plan/b.cpp"),
    "parallel/plan/c.cpp": ('#include "models/model.h"\n', "ATen/core/Tensor.h comes in through models/model.h"),
    "runtime/storage/b.cpp": ('#include "runtime/storage/tensors/t.h"\n', "comes in through runtime/storage/tensors/t.h"),
    "parallel/plan/d.cpp": ('#include "../../launch/x.h"\n', "no file of ours"),
    "runtime/data/b.cpp": ("#include <spdlog/spdlog.h>\n#include <torch/csrc/x.h>\n", "together"),
    "models/c.cpp": ("#include <torch/torch.h>\n", "includes torch/torch.h"),
    "models/kernels/k.cu": ('#include "models/model.h"\n', "compiled by nvcc"),
    "models/d.cpp": ("\n" * (LONGEST + 1), f"{LONGEST + 1} lines"),
    "launch/settings/b.cpp": ('#include "launch/run/r.h"\n', "launch/settings may not know launch/run"),
    "launch/forecast/b.cpp": ('#include "launch/main.cpp"\n', "launch/forecast may not know launch/main.cpp"),
    "parallel/stage/b.cpp": ('#include "parallel/engine/engine.h"\n', "parallel/stage may not know parallel/engine"),
    "launch/page/b.h": ('#include "launch/report/r.h"\n', "in a circle through launch/page, launch/report"),
    "launch/run/b.cpp": ('int f() { return std::system (name); }\n', "asks a shell"),
    "runtime/core/b.cpp": ('auto* f = popen(name, "r");\n', "asks a shell"),
    "launch/run/c.cpp": ('execl("/bin/sh", "sh", "-c", name);\n', "asks a shell"),
    "tests/core/test_b.cpp": ("TEST_F(A, B) {}\n", "are called SUBJECT_test.cpp"),
    "models/e.h": ("namespace interlock {\nstruct Known {\n};\n}  // namespace interlock\n", "defines interlock::Known, and so does launch/page/p.h"),
    "launch/tool": ("cd /" + "root/somewhere\n", "a path of one machine"),
    "cmake/b.cmake": ('set(x "/' + 'work/main")\n', "a path of one machine"),
}


def self_test():
    failures = []
    for extra, (text, words) in [("", ("", ""))] + list(BROKEN.items()):
        with tempfile.TemporaryDirectory() as root:
            for path, content in {**CLEAN, **({extra: text} if extra else {})}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(content)
            found, _ = breaches(root)
            if not extra and found:
                failures.append(f"the clean tree is blamed: {found}")
            if extra and not (len(found) == 1 and extra.startswith(found[0].split(":")[0]) and words in found[0]):
                failures.append(f"{extra}: expected one breach with '{words}', found {found}")
    return failures, len(BROKEN) + 1


def main():
    found, count = breaches(sys.argv[1]) if len(sys.argv) == 2 else self_test()
    print("\n".join(found) if found else f"{count} {'files' if len(sys.argv) == 2 else 'trees'} checked, no breach")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
