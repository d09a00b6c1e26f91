#!/usr/bin/env python3
"""Times the masked-language-model training of a RoBERTa encoder in PyTorch on one GPU: what Interlock has to beat there.

  gpu_peer.py [--microbatch-sizes 16 32 64] [--seconds 130] [--json FILE]
  gpu_peer.py --device cpu --layers 2 --width 64 --heads 2 --feed-forward 128 --vocabulary 500 --length 32 --microbatch-sizes 2 4

Sizes default to RoBERTa-base at sequence 512. `--model gpt` is plain_gpt.py's GPT-2 instead, which predicts every place (readout: the scores alone). The model is plain_pytorch.py's: separate query, key and value, fused attention (SDPA), dropout 0.1,
tied embeddings. Each sequence has 15 % predicted positions, a fixed number, and the readout is computed at those only. A step is
--microbatches forward and backward passes and one step of fused AdamW, without clipping; tokens are random and lie on the device already.

precision  autocast: parameters, gradients and optimizer in float32, products in bf16 under autocast, LayerNorm in float32
           copies: a bf16 copy of the model computes and sums the gradients of a step; AdamW works on float32 parameters, copied back every step
mode       eager; compile: torch.compile(dynamic=False), default mode, at the fastest eager microbatch size of each precision

Model FLOPs of a token, forward and backward:
  6 x layers x (4 x width^2 + 2 x width x feed_forward) + 12 x layers x width x length + 6 x 0.15 x (width^2 + width x vocabulary)
that is 6 per matrix element (embeddings, biases and norms left out), attention's two products over the whole length, and the readout (its
dense layer and the decoder) at the predicted share of rows. Utilisation is model FLOPs per second over --peak (989 TFLOP/s: dense bf16 of an H100 SXM or H200).

`products` are the model's own matrix products alone, in bf16, each repeated over several operands: forward, input gradient, weight gradient;
`products.share` is the part of an eager step that they would take. `profile` is the device time of one eager step by kind of kernel.

Prints each figure at once and one JSON object last; --json FILE is rewritten after every figure. Ends with 77 where there is no GPU or no torch, with 1 when
a measurement failed. After --seconds nothing more is begun; what was left out is listed.
"""
import argparse
import contextlib
import gc
import json
import math
import os
import re
import signal
import statistics
import sys
import tempfile
import time

SKIPPED = 77
try:
    import torch
except ImportError:
    print(f"gpu_peer: {sys.executable} has no torch; start it with a python3 that has", file=sys.stderr)
    sys.exit(SKIPPED)
from plain_gpt import Gpt
from plain_pytorch import Encoder
from torch.nn import functional as F

PREDICTED = 0.15
OPERAND_SETS = 3  # rotated, so that operands come from memory as they do in training
COMPILE_SECONDS = 40  # a compilation of twelve blocks is not begun with less left

# The first that fits a kernel's name (or, on a CPU, an operator's) wins.
KINDS = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in (
    ("attention", r"flash|fmha|sdpa|attention"),
    ("gemm", r"gemm|nvjet|cutlass|xmma|splitk|cublas|^aten::(addmm|mm|bmm)$|mkldnn"),
    ("layernorm", r"layer_?norm|GammaBeta"),
    ("gelu", r"gelu"),
    ("dropout", r"dropout|masked_scale|bernoulli"),
    ("optimizer", r"multi_tensor_apply|fused_?adam"),
    ("loss", r"softmax|nll_loss|cross_entropy"),
    ("embedding and rows", r"embedding|index|gather|scatter|grad_weight|segment|sort|cub::"),
    ("copy, cast, fill", r"copy|memcpy|memset|fill|^aten::zero"),
    ("sums (bias gradients)", r"reduce|^aten::sum"),
    ("elementwise", r"elementwise|^aten::(add|mul|div)"),
)]


class RowsEncoder(Encoder):
    """The encoder with its readout at `rows` (indices of predicted positions), whose number never changes."""

    def forward(self, tokens, rows, targets):
        place = torch.arange(2, 2 + tokens.shape[1], device=tokens.device)
        x = F.dropout(self.norm(self.words(tokens) + self.places(place)), self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        chosen = x.flatten(0, 1).index_select(0, rows)
        scores = self.decoder(self.head_norm(F.gelu(self.dense(chosen))))
        return F.cross_entropy(scores.float(), targets)


def predicted_rows(options, size):
    return size * (options.length if options.model == "gpt" else round(options.length * PREDICTED))


def flops_per_token(o):
    matrices = o.layers * (4 * o.width**2 + 2 * o.width * o.feed_forward)
    share = predicted_rows(o, 1) / o.length
    dense = 0 if o.model == "gpt" else o.width**2
    return 6 * matrices + 12 * o.layers * o.width * o.length + 6 * share * (dense + o.width * o.vocabulary)


def batches(options, size, device):
    """Endless microbatches: tokens, indices of the predicted rows in ascending order (not of gpt), their targets."""
    made = []
    for _ in range(OPERAND_SETS):
        tokens = torch.randint(4, options.vocabulary, (size, options.length), device=device)
        if options.model == "gpt":
            made.append((tokens, tokens.roll(-1, 1)))
            continue
        order = torch.rand(size, options.length, device=device).argsort(dim=1)[:, :round(options.length * PREDICTED)].sort(dim=1).values
        rows = (order + options.length * torch.arange(size, device=device)[:, None]).flatten()
        made.append((tokens, rows, tokens.flatten()[rows]))
    while True:
        yield from made


def training_step(options, device, precision, mode, size):
    """A function that performs one optimizer step."""
    torch.manual_seed(1)
    sizes = {"width": options.width, "layers": options.layers, "heads": options.heads, "feed_forward": options.feed_forward,
             "vocabulary": options.vocabulary, "max_length": options.length, "dropout": options.dropout, "tie_embeddings": True}
    with device:
        model = (Gpt if options.model == "gpt" else RowsEncoder)(sizes).train()
    masters = list(model.parameters())
    if precision == "copies":
        masters = [parameter.detach().clone().requires_grad_() for parameter in masters]
        for master in masters:
            master.grad = torch.zeros_like(master)
        model.to(torch.bfloat16)
    parameters = list(model.parameters())
    adamw = torch.optim.AdamW(masters, lr=1e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, fused=True)
    forward = torch.compile(model, dynamic=False) if mode == "compile" else model
    stream = batches(options, size, device)

    def step():
        for _ in range(options.microbatches):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "autocast"):
                loss = forward(*next(stream)) / options.microbatches
            loss.backward()
        if precision == "copies":
            torch._foreach_copy_([master.grad for master in masters], [parameter.grad for parameter in parameters])
            adamw.step()
            with torch.no_grad():
                torch._foreach_copy_(parameters, masters)
        else:
            adamw.step()
        for parameter in parameters:
            parameter.grad = None
        return loss

    return step


def seconds_of(run, count, device):
    """Seconds of each of `count` calls; on a GPU between events on its stream, so that nothing waits in between."""
    if device.type == "cuda":
        events = [torch.cuda.Event(enable_timing=True) for _ in range(count + 1)]
        events[0].record()
        for event in events[1:]:
            run()
            event.record()
        torch.cuda.synchronize()
        return [begin.elapsed_time(end) / 1000 for begin, end in zip(events, events[1:])]
    marks = [time.perf_counter()]
    for _ in range(count):
        run()
        marks.append(time.perf_counter())
    return [end - begin for begin, end in zip(marks, marks[1:])]


def time_training(options, device, precision, mode, size):
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    step = training_step(options, device, precision, mode, size)
    begin = time.perf_counter()
    loss = step().item()
    first = time.perf_counter() - begin
    seconds_of(step, options.warmup, device)
    seconds = seconds_of(step, options.steps, device)
    if not abs(loss * options.microbatches - math.log(options.vocabulary)) < 1:  # small weights know nothing; their scores' spread adds about 0.2
        raise RuntimeError(f"the first loss is {loss * options.microbatches}, not about log({options.vocabulary})")
    tokens = options.microbatches * size * options.length / statistics.median(seconds)
    result = {"mode": mode, "precision": precision, "microbatch_size": size, "tokens_per_second": tokens, "step_seconds": seconds,
              "first_step_seconds": first, "model_tflops": tokens * flops_per_token(options) / 1e12}
    if device.type == "cuda":
        result["utilisation"] = result["model_tflops"] / options.peak
        result["peak_mib"] = torch.cuda.max_memory_allocated() / 2**20
    return result


def time_products(options, device, size):
    """Matrix products of a microbatch: name, rows, in, out, how many the model has (0: another way to have them), and TFLOP/s each way."""
    rows, chosen, w, f = size * options.length, predicted_rows(options, size), options.width, options.feed_forward
    shapes = [("query, key, value, out", rows, w, w, 4 * options.layers), ("up", rows, w, f, options.layers), ("down", rows, f, w, options.layers),
              ("readout dense", chosen, w, w, 1), ("decoder", chosen, w, options.vocabulary, 1), ("query, key, value as one", rows, w, 3 * w, 0),
              ("decoder, rows of 64", chosen, w, -(-options.vocabulary // 64) * 64, 0)]
    table, total, work = [], 0.0, 0.0
    for name, m, k, n, count in shapes:
        sets = [[torch.randn(*shape, device=device, dtype=torch.bfloat16) for shape in ((m, k), (n, k), (m, n))] for _ in range(OPERAND_SETS)]
        row = {"name": name, "rows": m, "in": k, "out": n, "count": count}
        for what, product in (("forward", lambda x, weight, g: F.linear(x, weight)), ("input_gradient", lambda x, weight, g: g @ weight),
                              ("weight_gradient", lambda x, weight, g: g.t() @ x)):
            def every_set():
                for operands in sets:
                    product(*operands)
            seconds_of(every_set, 2, device)
            seconds = statistics.median(seconds_of(every_set, options.repeats, device)) / OPERAND_SETS
            row[what] = 2 * m * k * n / seconds / 1e12
            total += count * seconds
            work += count * 2 * m * k * n
        table.append(row)
    return {"microbatch_size": size, "table": table, "seconds_per_microbatch": total, "tflops": work / total / 1e12}


def time_attention(options, device, size):
    shape = (size, options.heads, options.length, options.width // options.heads)
    q, k, v = (torch.randn(shape, device=device, dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    gradient = torch.randn(shape, device=device, dtype=torch.bfloat16)
    forward = lambda: F.scaled_dot_product_attention(q, k, v, dropout_p=options.dropout)
    both = lambda: torch.autograd.grad(forward(), (q, k, v), gradient)
    result = {}
    for what, run in (("forward", forward), ("forward_and_backward", both)):
        seconds_of(run, 2, device)
        result[what + "_seconds"] = statistics.median(seconds_of(run, options.repeats, device))
    result["tflops"] = 12 * size * options.length**2 * options.width / result["forward_and_backward_seconds"] / 1e12
    return result


def device_times(profiler):
    """Kernel name -> seconds, from the trace, whose categories tell kernels from the ranges around them."""
    times = {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.export_chrome_trace(path)
        with open(path) as file:
            events = json.load(file)["traceEvents"]
    for event in events:
        if event.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
            times[event["name"]] = times.get(event["name"], 0.0) + event["dur"] / 1e6
    return times


def kind_of(name):
    return next((kind for kind, pattern in KINDS if pattern.search(name)), "other")


def profile(options, device, precision, size):
    step = training_step(options, device, precision, "eager", size)
    seconds_of(step, options.warmup, device)
    gpu = device.type == "cuda"
    activity = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activity.CUDA] if gpu else [activity.CPU], acc_events=True) as profiler:
        seconds_of(step, 1, device)
    times = device_times(profiler) if gpu else {row.key: row.self_cpu_time_total / 1e6 for row in profiler.key_averages()}
    kinds = {}
    for name, seconds in times.items():
        kinds[kind_of(name)] = kinds.get(kind_of(name), 0.0) + seconds
    by_time = lambda table: dict(sorted(table.items(), key=lambda item: -item[1]))
    longest = [{"name": name[:120], "kind": kind_of(name), "seconds": seconds} for name, seconds in list(by_time(times).items())[:15]]
    return {"precision": precision, "microbatch_size": size, "seconds": sum(times.values()), "by_kind": by_time(kinds), "longest": longest}


class Report:
    """What is known so far; written again after every figure."""

    def __init__(self, options, device):
        self.options, self.begin, self.failed = options, time.monotonic(), False
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        self.content = {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda, "settings": vars(options),
                        "flops_per_token": flops_per_token(options), "runs": [], "left_out": []}

    def left(self):
        return self.options.seconds - (time.monotonic() - self.begin)

    def write(self):
        if self.options.json:
            with open(self.options.json, "w") as file:
                json.dump(self.content, file, indent=1)

    def attempt(self, what, needs, measure):
        """The result of measure(), or None when time is short or it failed; one failure does not end the others."""
        if self.left() < needs:
            self.content["left_out"].append(f"{what}: {self.left():.0f} s were left")
            print(f"gpu_peer: left out, for lack of time: {what}", flush=True)
            return None
        try:
            return measure()
        except torch.OutOfMemoryError:
            self.content["left_out"].append(f"{what}: does not fit into memory")
            print(f"gpu_peer: does not fit into memory: {what}", flush=True)
        except Exception as problem:  # torch.compile fails in many ways
            self.failed = True
            self.content["left_out"].append(f"{what}: {problem}"[:500])
            print(f"gpu_peer: {what} failed: {type(problem).__name__}: {problem}"[:2000], flush=True)
        return None

    def keep(self, key, value, line):
        if key == "runs":
            self.content["runs"].append(value)
        else:
            self.content[key] = value
        print(line, flush=True)
        self.write()


def measure_training(report, device, precision, mode, size, needs=0.0):
    run = report.attempt(f"{mode}, {precision}, microbatch {size}", needs, lambda: time_training(report.options, device, precision, mode, size))
    if run:
        share = f", utilisation {100 * run['utilisation']:.1f} %, peak {run['peak_mib']:.0f} MiB" if "utilisation" in run else ""
        report.keep("runs", run, f"{mode:8}{precision:10}microbatch {size:4}{run['tokens_per_second']:12.0f} tokens/s, {run['model_tflops']:.3g} TFLOP/s"
                    f"{share}, first step {run['first_step_seconds']:.1f} s")
    return run


def measure(report, device):
    options, best = report.options, {}
    for precision in options.precisions:
        for size in options.microbatch_sizes:
            run = measure_training(report, device, precision, "eager", size)
            if run and (precision not in best or run["tokens_per_second"] > best[precision]["tokens_per_second"]):
                best[precision] = run
    if not best:
        return
    chosen = next(iter(best.values()))  # of the first precision
    if not options.training_only:
        measure_parts(report, device, chosen)
    needs = COMPILE_SECONDS if device.type == "cuda" else 0
    for precision, run in best.items():
        compiled = measure_training(report, device, precision, "compile", run["microbatch_size"], needs)
        if compiled:
            needs = 1.2 * compiled["first_step_seconds"]


def measure_parts(report, device, chosen):
    options, size = report.options, chosen["microbatch_size"]
    products = report.attempt("products", 0, lambda: time_products(options, device, size))
    if products:
        products["share"] = products["seconds_per_microbatch"] * options.microbatches / statistics.median(chosen["step_seconds"])
        lines = [f"{row['name']:26}{row['rows']:7} x {row['in']:5} x {row['out']:6}  forward {row['forward']:6.3g}, input gradient "
                 f"{row['input_gradient']:6.3g}, weight gradient {row['weight_gradient']:6.3g} TFLOP/s" for row in products["table"]]
        report.keep("products", products, "\n".join(lines) + f"\nall products of a step: {products['tflops']:.3g} TFLOP/s, "
                    f"{100 * products['share']:.1f} % of the eager step ({chosen['precision']}, microbatch {size})")
    attention = report.attempt("attention", 0, lambda: time_attention(options, device, size))
    if attention:
        report.keep("attention", attention, f"attention of one block: forward {1e3 * attention['forward_seconds']:.3f} ms, with backward "
                    f"{1e3 * attention['forward_and_backward_seconds']:.3f} ms, {attention['tflops']:.3g} TFLOP/s")
    shares = report.attempt("profile", 0, lambda: profile(options, device, chosen["precision"], size))
    if shares:
        report.keep("profile", shares, "\n".join(f"{kind:26}{1e3 * seconds:9.2f} ms {100 * seconds / shares['seconds']:5.1f} %"
                                                 for kind, seconds in shares["by_kind"].items()))


def stop(signal_number, frame):
    raise SystemExit(128 + signal_number)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--model", default="roberta", choices=["roberta", "gpt"])
    parser.add_argument("--training-only", action="store_true", help="neither products, attention nor a profile")
    for name, value in (("layers", 12), ("width", 768), ("heads", 12), ("feed-forward", 3072), ("vocabulary", 50265), ("length", 512),
                        ("microbatches", 4), ("steps", 8), ("warmup", 2), ("repeats", 10)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default: {value}")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--microbatch-sizes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--precisions", nargs="+", choices=["autocast", "copies"], default=["autocast", "copies"])
    parser.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of which the utilisation is told")
    parser.add_argument("--seconds", type=float, default=3600.0, help="begin nothing after so long; default: 3600")
    parser.add_argument("--json", help="file for the JSON object")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu_peer: PyTorch finds no GPU here; --device cpu with small sizes tries the script", file=sys.stderr)
        return SKIPPED
    device = torch.device(options.device)
    signal.signal(signal.SIGTERM, stop)
    report = Report(options, device)
    with contextlib.ExitStack() as at_end:
        at_end.callback(lambda: print(json.dumps(report.content), flush=True))
        at_end.callback(report.write)
        measure(report, device)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
