"""The page of tests/bench/techniques: tables of what came out, and beside each claim whether it holds here."""
import math
import pathlib
import shlex
import statistics
import sys


def within(difference, error):
    """A sentence's end for a difference with its standard error: two of them are no chance (about 95 %)."""
    return "more than chance" if abs(difference) > 2 * error else "within chance"


def finetuned_table(out, methods, tasks):
    found = {(one["task"], one["method"]): one for one in out["finetuned"]}
    order = [task for task in tasks if any(task == t for t, _ in found)]
    lines = ["| method | " + " | ".join(f"{task}, {tasks[task]['metric']}" for task in order) + " | mean | numbers trained | seconds a run |",
             "| --- |" + " --- |" * (len(order) + 3)]
    for method in methods:
        rows = [found[task, method] for task in order]
        cells = [f"{100 * one['mean']:.1f} ± {100 * one['spread']:.1f} ({one['rate']:g})" for one in rows]
        seconds = " / ".join(f"{one['seconds']:.0f}" for one in rows)
        trained = sorted({one["trained_parameters"] for one in rows})
        numbers = f"{trained[0]:,}" if trained[0] == trained[-1] else f"{trained[0]:,} to {trained[-1]:,}"
        lines.append(f"| {method} | " + " | ".join(cells) + f" | {100 * statistics.mean(one['mean'] for one in rows):.1f} | {numbers} | {seconds} |")
    return lines, found, order


def beside_full(found, order, method):
    """Mean over tasks of the difference to full fine-tuning, in points, and its standard error over seeds."""
    differences, squares = [], 0.0
    for task in order:
        one, full = found[task, method], found[task, "full"]
        differences.append(100 * (one["mean"] - full["mean"]))
        squares += sum((100 * each["spread"]) ** 2 / len(each["scores"]) for each in (one, full))
    return statistics.mean(differences), math.sqrt(squares) / len(order)


# What was published, and from how many points below full fine-tuning on it does not hold here.
CLAIMS = {"adapters, 64": ("79.6 beside 80.4 of full fine-tuning on GLUE (Houlsby et al., BERT-large)", 0.8),
          "adapters, 8": ("sizes of 8 to 256 do alike (Houlsby et al.)", 0.8),
          "LoRA, 8": ("as good as full fine-tuning (Hu et al., RoBERTa-base: 87.2 beside 86.4 on GLUE)", 0.0),
          "mixout": ("better means and smaller spreads than dropout on small tasks (Lee et al., BERT-large)", 0.0),
          "LoPT": ("about as good as full fine-tuning though the lower half learns from a reconstruction alone (arXiv 2605.04913)", 1.0)}


def finetuned_page(options, out, methods, tasks):
    table, found, order = finetuned_table(out, methods, tasks)
    grids = "; ".join(f"{name}: {', '.join(f'{rate:g}' for rate in grid[:2 if options.quick else None])}" for name, (_, grid) in methods.items())
    lines = ["## Fine-tuning", "",
             f"Mean ± standard deviation over {options.seeds} seeds of the score on the task's dev (MRPC, TREC: test) rows, in %, and in parentheses the rate "
             f"that was chosen. The same budget for all: one run per rate of the grid, with seed 1, judged by a tenth of the training rows that is held out; "
             f"then all seeds with the best rate. Every run keeps its best weights by that tenth; dev rows choose nothing. Grids: {grids}. Epochs: "
             + ", ".join(f"{task} {1 if options.quick else tasks[task]['epochs']}" for task in order)
             + f". Seconds by task in the order of the columns, {options.jobs} runs side by side.", "", *table, ""]
    for method, (claim, allowed) in CLAIMS.items():
        difference, error = beside_full(found, order, method)
        holds = "holds here" if difference >= -allowed - 2 * error else "does not hold here"
        lines.append(f"- **{method}**: published: {claim}. Here {difference:+.1f} points beside full fine-tuning (standard error {error:.1f}, "
                     f"{within(difference, error)}): {holds}.")
    spread = lambda method: statistics.mean(100 * found[task, method]["spread"] for task in order)
    lines.append(f"- Spread over seeds, mean over tasks: full {spread('full'):.2f} points, mixout {spread('mixout'):.2f}: "
                 f"{'smaller, as published' if spread('mixout') < spread('full') else 'not smaller'}.")
    return lines + [""]


def pruned_page(options, out):
    losses = out["pruned"]
    rise = {name: half - full for name, (full, half) in losses.items()}
    share = rise["layer_drop"] / rise["plain"] if rise["plain"] > 0 else float("nan")
    lines = ["## Pruning to half depth", "",
             f"Both models were pretrained for {options.steps} steps, `layer_drop` with rate 0.2; every other of {options.layers} layers was kept "
             "(`interlock prune --layers N`), without training on. Masked loss in nats per target on test text.", "",
             "| model | full depth | half depth | rise |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {full:.4f} | {half:.4f} | {half - full:+.4f} |" for name, (full, half) in losses.items()]
    run = statistics.mean(out["layer_drop"]["layers_run"])
    lines += ["", f"While it trained, {100 * run:.1f} % of the layers ran ({sum(out['layer_drop']['step_seconds']):.0f} s beside {sum(out['plain']['step_seconds']):.0f} s of steps). Published "
              f"(Fan et al.): sub-networks of a model trained so can be cut out without fine-tuning. Here the rise is {share:.2f} of a plain model's: "
              f"{'holds here' if share < 0.5 else 'does not hold here'} (less than half counts as holding).", ""]
    return lines


def spent_until(run, loss):
    """Layers passed per microbatch, in units of one step at full depth, and seconds of steps, until the first evaluation at or below this loss."""
    step = next((step for step, value in run["curve"] if value <= loss), None)
    return None if step is None else (step, sum(run["layers_run"][:step]), sum(run["step_seconds"][:step]))


def progressive_page(options, out):
    plain, progressive = out["pre_norm"], out["progressive"]
    loss = max(min(value for _, value in run["curve"]) for run in (plain, progressive))
    a, b = spent_until(plain, loss), spent_until(progressive, loss)
    gamma, layers, theta = 100 / options.steps, options.layers, 0.5
    expected = [1 - (1 - (theta + (1 - theta) * math.exp(-gamma * (t - 1)))) * (layers + 1) / (2 * layers) for t in range(1, options.steps + 1)]
    mean = statistics.mean(progressive["layers_run"])
    return ["## Progressive layer dropping", "",
            f"Pre-norm models, {options.steps} steps each, theta 0.5, gamma {gamma:g} (a hundredth of the run). Of the layers {100 * mean:.1f} % ran, "
            f"{100 * statistics.mean(expected):.1f} % were expected by the formula; {sum(progressive['step_seconds']):.0f} s beside {sum(plain['step_seconds']):.0f} s of steps.", "",
            "| model | best validation loss | steps to " + f"{loss:.4f} | full-depth steps of layers until then | seconds until then |", "| --- | --- | --- | --- | --- |",
            *(f"| {name} | {min(v for _, v in run['curve']):.4f} | {spent[0]} | {spent[1]:.0f} | {spent[2]:.0f} |"
              for name, run, spent in (("plain", plain, a), ("progressive", progressive, b))), "",
            f"At equal loss {100 * (1 - b[1] / a[1]):+.1f} % of the layers' work and {100 * (1 - b[2] / a[2]):+.1f} % of the time was saved. Published (Zhang & He): "
            f"24 % less time for as many samples, 2.5 times as fast to equal downstream accuracy. Less work at equal loss: "
            f"{'holds here' if b[1] < a[1] else 'does not hold here'}.", ""]


def page_of(options, out, methods, tasks):
    plain = out["plain"]
    name = pathlib.Path(options.out).name
    lines = ["# Techniques beside each other", ""]
    if options.quick:
        lines += ["**A quick run of the script: it shows that everything runs; its numbers say nothing.**", ""]
    keys = "".join(f", {one}" for one in options.set)
    lines += [f"One checkpoint for all: `{pathlib.Path(options.config).name}` under global learning on one rank{keys}, {options.steps} steps on wiki-en-2014, in "
              f"{sum(plain['step_seconds']) / 60:.0f} minutes of steps; masked validation loss {plain['validation_loss']:.4f} (unigram baseline {plain['unigram_baseline']:.4f}), digest "
              f"`{plain['digest']}`. All numbers, rates and commands are in [{name}.json]({name}.json).", ""]
    if "finetuned" in out:
        lines += finetuned_page(options, out, methods, tasks)
    if "pruned" in out:
        lines += pruned_page(options, out)
    if "progressive" in out:
        lines += progressive_page(options, out)
    words = [word if not word.startswith("/") else pathlib.Path(word).name for word in sys.argv[1:]]
    first = [line for line in out["commands"] if line.startswith(("interlock train", "interlock finetune"))][:2]
    return "\n".join(lines + ["## Made by", "", "```", "tests/bench/techniques " + shlex.join(words), "```", "", "which ran, among others", "", "```", *first, "```", ""])
