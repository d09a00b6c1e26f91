"""The texts of tests/bench/techniques: packed files as they were collected, to tables with a header and one form of names."""
import csv
import io
import lzma
import zipfile

# Of each task: the columns, the metric of the page, how often fine-tuning sees each row.
TASKS = {"sst2": {"pair": False, "metric": "accuracy", "epochs": 1}, "mrpc": {"pair": True, "metric": "f1", "epochs": 4},
         "cola": {"pair": False, "metric": "matthews", "epochs": 4}, "rte": {"pair": True, "metric": "accuracy", "epochs": 5},
         "trec": {"pair": False, "metric": "accuracy", "epochs": 8}}


def unpacked(path):
    return lzma.open(path).read().decode("utf-8")


def rows_of(text, header):
    lines = [line.split("\t") for line in text.splitlines() if line]
    return lines[1:] if header else lines


def sst2(folder):
    return {part: rows_of(unpacked(folder / "sst2" / f"{part}.tsv.xz"), True) for part in ("train", "dev")}


def mrpc(folder):
    read = lambda part: [(row[3], row[4], row[0]) for row in rows_of(unpacked(folder / "mrpc" / f"msr_paraphrase_{part}.txt.xz"), True)]
    return {"train": read("train"), "dev": read("test")}


def cola(folder):
    read = lambda part: [(row[3], row[1]) for row in rows_of(unpacked(folder / "cola" / f"{part}.tsv.xz"), False)]
    return {"train": read("train") + read("val"), "dev": read("dev")}


def rte(folder):
    read = lambda part, header: [row[1:4] for row in rows_of(unpacked(folder / "rte" / f"{part}.tsv.xz"), header)]
    return {"train": read("train", True) + read("val", False), "dev": read("dev", True)}


def trec(folder):
    archive = zipfile.ZipFile(folder / "trec" / "qc.zip")

    def read(part):
        lines = archive.read(f"qc/{part}.txt").decode("latin-1").splitlines()
        return [(line.split(" ", 1)[1], line.split(":", 1)[0]) for line in lines]
    return {"train": read("train"), "dev": read("test")}


READ = {"sst2": sst2, "mrpc": mrpc, "cola": cola, "rte": rte, "trec": trec}


def write_if_new(path, text):
    if not path.exists():
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.rename(path)


def as_csv(task, rows):
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["sentence1", "sentence2", "label"] if TASKS[task]["pair"] else ["sentence", "label"])
    table.writerows(rows)
    return out.getvalue()


def write_tables(task, folder, to, train_rows, dev_rows):
    """TASK.train.csv and TASK.dev.csv in `to`; of a quick run their first rows, spread over the files (0: all)."""
    for part, most in (("train", train_rows), ("dev", dev_rows)):
        path = to / f"{task}.{part}.csv"
        if path.exists():
            continue
        rows = READ[task](folder)[part]
        write_if_new(path, as_csv(task, rows[:: max(1, len(rows) // most)][:most] if most else rows))


def write_wiki(folder, to, quick):
    """Texts to pretrain on, to choose by and to test on: train.txt, valid.txt, test.txt."""
    for part in ("train", "valid", "test"):
        path = to / f"{part}.txt"
        if path.exists():
            continue
        text = unpacked(folder / "wiki-en-2014" / (f"{'valid' if quick else part}.txt.xz"))
        if quick:  # thirds of a small file
            articles = text.split("\n\n")
            third = ("train", "valid", "test").index(part)
            text = "\n\n".join(articles[third::3])
        write_if_new(path, text)
