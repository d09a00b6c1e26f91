"""The page of tests/bench/schedules from its stored results: tables that say whether a row was measured, replayed or counted in unit costs."""
import statistics


def named(results, section, *words, by="parallel.memory_mib"):
    """The result of a rule, stages and microbatches: of `auto` within a memory limit, of `auto` without one (by ""), or in the order of 1F1B."""
    wanted = [str(word) for word in words] + [by] * bool(by)
    for name, value in results.get(section, {}).items():
        if [part.partition("=")[0] for part in name.split(" ")] == wanted:
            return value
    return None


def told_above(one):
    """By how much a step is longer than the largest of its lower bounds."""
    return f"{100 * (one['step'] / one['bound'] - 1):.1f} %" if one else ""


def told_break_even(microbatches, most):
    if microbatches is None:
        return f"none up to {most}"
    return "from the first" if microbatches <= 1 else f"{microbatches}"


def told_formula(value):
    if value is None:
        return "no formula"
    return "none" if value < 0 else f"{value:.1f}"


def told_within(results, section):
    rows = [value for name, value in results[section].items() if isinstance(value, dict) and len(name.split(" ")) == 3]
    close = sum(one["step"] <= 1.03 * one["bound"] for one in rows)
    return f"Without a memory limit `auto` stands within 3 % of the bound in {close} of {len(rows)} rows. Whether the bound of the others can be reached is not known."


def rule_table(results, section, rules, stages, microbatches, most, unit):
    """One row per rule and number of microbatches, then the break-even of each rule."""
    times = {"": 1, "ms": 1000}[unit]
    lines = [f"| rule | microbatches | schedule | step{f' ({unit})' if unit else ''} | of global's | above the bound | without a memory limit | idle share | MiB of the largest rank |", "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for m in microbatches:
        of_global = named(results, section, "global", stages, m)
        for rule in rules:
            one = named(results, section, rule, stages, m)
            if one and of_global:
                lines.append(f"| {rule} | {m} | {one['schedule']} | {times * one['step']:.4g} | x {one['step'] / of_global['step']:.2f} | "
                             f"{told_above(one)} | {told_above(named(results, section, rule, stages, m, by=''))} | {100 * one['idle_share']:.0f} % | {one['mib']:.0f} |")
    lines += ["", f"Global learning is at least as fast from so many microbatches on, {stages} stages:", "", "| rule | by formula, both in the order of 1F1B | by simulation, both with the best schedule |", "| --- | --- | --- |"]
    for rule in rules[:-1]:
        formula = named(results, section, rule, stages, microbatches[0], by="parallel.schedule")
        key = f"break-even {rule} {stages}"
        if formula and key in results[section]:
            lines.append(f"| {rule} | {told_formula(formula['formula'])} | {told_break_even(results[section][key], most)} |")
    return lines + [""]


def two_ranks(results):
    rounds = {}
    for name, value in results.get("two ranks", {}).items():
        rounds.setdefault(name.partition(" ")[2], []).append(value)
    if "one process" not in rounds:
        return []
    speed = {name: [one["tokens_per_second"] for one in values] for name, values in rounds.items()}
    ideal = [2 * one for one in speed["one process"]]
    lines = ["## Two ranks beside two ideal cores (measured)", "", "`bench_encoder`, rule `global`, 8 microbatches of 4 sequences of 128 tokens, no clipping; two ideal cores are twice one process "
             "in the same round. Medians over the rounds. The aim is 0.92 of two ideal cores; where half blocks fall behind blocks, `plan` had them ahead, and why is not known.", "", "| run | schedule, cut | tokens/s | of two ideal cores | of what `simulate` makes of its own costs | idle share | MiB of the largest rank |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, values in rounds.items():
        share = statistics.median(a / b for a, b in zip(speed[name], ideal))
        row = [name, "", f"{statistics.median(speed[name]):.0f}", f"{share:.2f}", "", "", ""]
        if "step" in values[0]:
            if not name.startswith("one process"):
                row[1] = f"{values[0]['schedule']}, {'+'.join(map(str, values[0]['cut']))}"
                row[4] = f"{statistics.median(one['simulated'] / one['step'] for one in values):.2f}"
                row[5] = f"{100 * statistics.median(one['idle_share'] for one in values):.0f} %"
            row[6] = f"{statistics.median(one['peak_mib'] for one in values):.0f}"
        lines.append("| " + " | ".join(row) + " |")
    return lines + [""]


def rules_on_two_ranks(results, rules, microbatches):
    measured = results.get("rules on two ranks", {})
    if not measured:
        return []
    lines = ["## Rules on two ranks of two stages each (measured)", "", "Four stages of the benchmark encoder, linear heads (a head's decoder costs as much as 2.7 blocks here), no clipping.", "",
             "| rule | microbatches | schedule | step (ms) | simulated from its own costs | of global's | idle share | MiB of the largest rank |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for m in microbatches:
        of_global = measured.get(f"global {m}")
        for rule in rules:
            one = measured.get(f"{rule} {m}")
            if one and of_global:
                lines.append(f"| {rule} | {m} | {one['schedule']} | {1000 * one['step']:.0f} | {1000 * one['simulated']:.0f} | x {one['step'] / of_global['step']:.2f} | "
                             f"{100 * one['idle_share']:.0f} % | {one['peak_mib']} |")
    lines += ["", "Global learning is at least as fast from so many of these microbatches on:", "", "| rule | measured | simulated from measured costs |", "| --- | --- | --- |"]
    for rule in rules[:-1]:
        found = []
        for key in ("step", "simulated"):
            wins = [m for m in microbatches if f"{rule} {m}" in measured and measured[f"global {m}"][key] <= measured[f"{rule} {m}"][key]]
            found.append(told_break_even(wins[0] if wins else None, microbatches[-1]))
        lines.append(f"| {rule} | {found[0]} | {found[1]} |")
    return lines + [""]


def pictures(results):
    lines = ["## One step of each (unit costs)", "", "Time runs to the right, one row per rank; two steps where steps are short.", ""]
    for one in results.get("pictures", {}).values():
        lines += [f"`{one['rule']}`, `{one['schedule']}`, {one['stages']} stages on {one['ranks']} ranks, {one['microbatches']} microbatches: "
                  f"{100 * one['idle_share']:.1f} % idle", "", f"![{one['rule']}, {one['schedule']}]({one['file']})", ""]
    return lines


def page_of(results, rules, stages, microbatches, most, command):
    lines = ["# Schedules and learning rules", "", "How long a step takes under each learning rule, against `global` with its own best schedule at the same memory. Each table says where its "
             "numbers come from:", "", "- *measured*: by the clock" + (f", on {results['machine']};" if "machine" in results else ";"), "- *replayed*: every stage's costs measured on one process, the step put together "
             "from them by `interlock plan --costs`, one rank per stage, messages at the default bandwidth;", "- *unit costs*: forward, input gradient and weight gradient of a stage 1 each, heads, updates and messages nothing.", "",
             "`above the bound`: by how much the step is longer than the largest lower bound of `plan` (busiest rank, longest chain, a rank with what it waits for, busiest link); beside it the same "
             "of the schedule that `auto` takes without a memory limit. "
             "`schedule` is the one that `auto` took among all that fit, with as many MiB per rank as the hungriest of the rules holds in the order of 1F1B. MiB are what `interlock plan` counts of "
             "tensors, in measured tables the resident memory. Rules clip as they do by default: `global` by the norm of the model, which makes every step wait for its end.", ""]
    lines += two_ranks(results) + rules_on_two_ranks(results, rules, microbatches)
    for section, title, unit in [("unit costs", "Rules at unit costs", ""), ("replayed", "Rules at the benchmark encoder's costs (replayed)", "ms")]:
        if results.get(section):
            lines += [f"## {title}", "", told_within(results, section), ""]
            for k in stages:
                lines += [f"### {k} stages on {k} ranks", ""] + rule_table(results, section, rules, k, microbatches, most, unit)
    lines += pictures(results)
    return "\n".join(lines + ["## Made by", "", "```", command, "```", ""])
