"""What studies through `interlock compare` share: the data they read, the comparison, its numbers as rows of tables."""
import json
import lzma
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("INTERLOCK_DATA", ROOT / "../shared/data"))


def run(words):
    print("+", shlex.join(map(str, words)), file=sys.stderr, flush=True)
    if subprocess.run(list(map(str, words)), cwd=ROOT).returncode != 0:
        sys.exit("failed; what was done is kept, run it again to go on")


def unpacked(packed, path):
    """The file at `path`, made of the .xz at `packed` below DATA where it is not there yet."""
    if not path.exists():
        part = path.with_suffix(path.suffix + ".part")
        part.write_bytes(lzma.decompress((DATA / packed).read_bytes()))
        part.rename(path)
    return path


class Study:
    """Comparisons below one folder of runs."""

    def __init__(self, interlock, runs, seeds, steps, at_once=1):
        self.interlock, self.runs, self.seeds, self.steps, self.at_once = interlock, runs, seeds, steps, at_once

    def compare(self, name, config, rules, stages, overrides, heads="", tune=1, seeds=None, steps=None, test_sequences=None):
        """The report of one comparison, with its command and the accuracy of arms that have one. It goes on where it was interrupted."""
        folder = self.runs / name
        words = [self.interlock, "compare", config, "--rules", rules, *(["--heads", heads] if heads else []), "--stages", stages,
                 "--seeds", seeds or self.seeds, "--tune", tune, "--steps", steps or self.steps, "--output", folder]
        if test_sequences:
            words += ["--test-sequences", test_sequences]
        if self.at_once > 1:
            words += ["--at-once", self.at_once]
        for key, value in overrides.items():
            words += ["--set", f"{key}={value}"]
        run(words)
        report = json.loads((folder / "report.json").read_text())
        for arm in report["arms"]:
            told = pathlib.Path(arm["folder"]) / "result.json"
            arm["accuracy"] = json.loads(told.read_text()).get("validation_scores", {}).get("accuracy") if told.exists() else None
        report["command"] = self.without_paths(shlex.join(["interlock", *map(str, words[1:])]))
        return report

    def answer(self, name):
        """What the report of a comparison says of quality: the first paragraph below its question."""
        return (self.runs / name / "report.md").read_text().split("\n\n")[2]

    def without_paths(self, text):
        """As it stands in a page: runs lie in runs/NAME wherever they were made."""
        return text.replace(str(self.runs), f"runs/{self.runs.name}").replace(str(self.interlock), "interlock").replace(f"{ROOT}/", "")

    def publish(self, name, folder):
        """The report of a comparison as NAME.html, NAME.md and NAME.json in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        for kind in ("html", "md", "json"):
            text = (self.runs / name / f"report.{kind}").read_text()
            (folder / f"{name}.{kind}").write_text(self.without_paths(text).replace("`report.html`", f"`{name}.html`"))


def spread(values, digits=2):
    mean = statistics.mean(values)
    return f"{mean:.{digits}f}" + (f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def arms_of(report, rule):
    return [arm for arm in report["arms"]
            if (arm["rule"], arm["head"], arm["stages"]) == (rule["rule"], rule["head"], rule["stages"]) and arm["status"] == "done"]


def table(columns, rows):
    return ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns), *["| " + " | ".join(row) + " |" for row in rows], ""]
