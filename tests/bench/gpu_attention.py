#!/usr/bin/env python3
"""Times the fused attention kernels with dropout that LibTorch has, forward and backward, at RoBERTa-base's shapes in bf16, and tells
whether each gives the same bits twice when it is seeded alike: models/blocks/fused_attention chooses by that.

  gpu_attention.py [--samples 64] [--heads 12] [--length 512] [--width 64] [--rate 0.1]

Prints a line for each and one JSON object last. Ends with 77 where there is no GPU or no torch.
"""
import argparse
import json
import sys

try:
    import torch
except ImportError:
    print("gpu_attention: no torch", file=sys.stderr)
    sys.exit(77)

aten = torch.ops.aten


def flash(q, k, v, g, rate):
    out, sums, first_q, first_k, most_q, most_k, state, unused, _ = aten._scaled_dot_product_flash_attention(q, k, v, rate)
    return out, lambda: aten._scaled_dot_product_flash_attention_backward(
        g, q, k, v, out, sums, first_q, first_k, most_q, most_k, rate, False, state, unused)


def cudnn(q, k, v, g, rate):
    out, sums, first_q, first_k, most_q, most_k, seed, offset, _ = aten._scaled_dot_product_cudnn_attention(q, k, v, None, True, rate)
    return out, lambda: aten._scaled_dot_product_cudnn_attention_backward(
        g, q, k, v, out, sums, seed, offset, None, first_q, first_k, most_q, most_k, rate, False)


def efficient(q, k, v, g, rate):
    out, sums, seed, offset = aten._scaled_dot_product_efficient_attention(q, k, v, None, True, rate)
    return out, lambda: aten._scaled_dot_product_efficient_attention_backward(
        g, q, k, v, None, out, sums, seed, offset, rate, [True, True, True, False])


def once(kernel, tensors, rate, seed):
    torch.cuda.manual_seed(seed)
    out, back = kernel(*tensors, rate)
    return [out, *back()[:3]]


def milliseconds(act, times=20):
    act()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(times):
        act()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, value in (("samples", 64), ("heads", 12), ("length", 512), ("width", 64)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rate", type=float, default=0.1)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_attention: no GPU", file=sys.stderr)
        return 77
    torch.use_deterministic_algorithms(True)  # as runs ask for
    torch.utils.deterministic.fill_uninitialized_memory = False
    shape = (options.samples, options.length, options.heads, options.width)
    tensors = [torch.randn(shape, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for _ in range(4)]
    results = {}
    for kernel in (flash, cudnn, efficient):
        try:
            first, again, other = once(kernel, tensors, options.rate, 1), once(kernel, tensors, options.rate, 1), once(kernel, tensors, options.rate, 2)
            same = [bool(torch.equal(a, b)) for a, b in zip(first, again)]
            out, back = kernel(*tensors, options.rate)
            result = {"forward_ms": milliseconds(lambda: kernel(*tensors, options.rate)), "backward_ms": milliseconds(back),
                      "same_bits": same, "seed_matters": not torch.equal(first[0], other[0]), "strides": [list(t.stride()) for t in first]}
        except Exception as problem:  # a kernel that is not there is a result too
            result = {"problem": str(problem).split("\n")[0][:300]}
        results[kernel.__name__] = result
        print(kernel.__name__, result, flush=True)
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "attention": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
