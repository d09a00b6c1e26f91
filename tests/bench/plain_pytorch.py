#!/usr/bin/env python3
"""Trains the model of a RoBERTa config in plain PyTorch, as one writes it first: one process (or two under DDP), eager, no pipeline.

  plain_pytorch.py CONFIG.toml [--steps 12] [--warmup 2] [--threads 1] [--processes 1] [--masked-only] [--tokens PREFIX]

Reads the sizes, the batch, dropout, tying and precision from the config; tokens come from the config's first token file (or --tokens), in
windows of the config's length, masked as BERT does. The loss looks at the masked positions; the readout is computed at all positions, or with
--masked-only at those. Ends with a JSON line that has tokens_per_second (median of the steps after the warm-up) and peak_mib per process.
"""
import argparse
import json
import mmap
import os
import resource
import statistics
import time
import tomllib

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn import functional as F


def read_tokens(prefix):
    """The ids of a Megatron pair as one tensor."""
    with open(prefix + ".idx", "rb") as index:
        head = index.read(18)
    assert head[:9] == b"MMIDIDX\0\0", prefix
    dtype = {8: torch.uint16, 4: torch.int32}[head[17]]
    with open(prefix + ".bin", "rb") as data:
        return torch.frombuffer(mmap.mmap(data.fileno(), 0, prot=mmap.PROT_READ), dtype=dtype)


class Block(nn.Module):
    def __init__(self, width, heads, feed_forward, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)

    def forward(self, x):
        samples, length, width = x.shape
        q, k, v = (f(x).view(samples, length, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        mixed = self.out(mixed.transpose(1, 2).reshape(samples, length, width))
        x = self.norm1(x + F.dropout(mixed, self.dropout, self.training))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), self.dropout, self.training))


class Encoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        width, dropout = model["width"], model.get("dropout", 0.1)
        self.dropout = dropout
        self.words = nn.Embedding(model["vocabulary"], width, padding_idx=1)
        self.places = nn.Embedding(model["max_length"] + 2, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, model["heads"], model["feed_forward"], dropout) for _ in range(model["layers"]))
        self.dense, self.head_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.decoder = nn.Linear(width, model["vocabulary"])
        if model.get("tie_embeddings", False):
            self.decoder.weight = self.words.weight
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens, targets, masked_only):
        place = torch.arange(2, 2 + tokens.shape[1])
        x = F.dropout(self.norm(self.words(tokens) + self.places(place)), self.dropout, self.training)
        for block in self.blocks:
            x = block(x)
        if masked_only:
            chosen = targets >= 0
            x, targets = x[chosen], targets[chosen]
        scores = self.decoder(self.head_norm(F.gelu(self.dense(x))))
        return F.cross_entropy(scores.view(-1, scores.shape[-1]).float(), targets.view(-1), ignore_index=-100, reduction="sum")


def batch_of(tokens, size, length, vocabulary, generator):
    starts = torch.randint(0, len(tokens) - length, (size,), generator=generator)
    rows = torch.stack([tokens[s:s + length].long() for s in starts])
    rows[:, 0], rows[:, -1] = 0, 2
    chosen = torch.rand(rows.shape, generator=generator) < 0.15
    targets = torch.where(chosen, rows, -100)
    kind = torch.rand(rows.shape, generator=generator)
    rows = torch.where(chosen & (kind < 0.8), vocabulary - 1, rows)
    noise = torch.randint(4, vocabulary - 1, rows.shape, generator=generator)
    return torch.where(chosen & (kind >= 0.8) & (kind < 0.9), noise, rows), targets


def train(rank, options, config):
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    model_settings, parallel = config["model"], config["parallel"]
    if options.processes > 1:
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(options.port))
        dist.init_process_group("gloo", rank=rank, world_size=options.processes)
    model = Encoder(model_settings).train()
    wrapped = nn.parallel.DistributedDataParallel(model) if options.processes > 1 else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01, fused=True)
    size, length = parallel["microbatch_size"], config["data"]["sequence_length"]
    microbatches = parallel["microbatches"] * parallel.get("replicas", 1) // options.processes
    tokens = read_tokens(options.tokens or config["data"]["paths"][0])
    generator = torch.Generator().manual_seed(1 + rank)
    bf16 = config.get("run", {}).get("precision", "float32") == "bf16"
    seconds = []
    for step in range(options.warmup + options.steps):
        begin = time.perf_counter()
        for m in range(microbatches):
            inputs, targets = batch_of(tokens, size, length, model_settings["vocabulary"], generator)
            last = m + 1 == microbatches
            if options.processes > 1:
                wrapped.require_backward_grad_sync = last
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = wrapped(inputs, targets, options.masked_only) / (size * length * microbatches * 0.15)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if options.processes > 1:
        every = [None] * options.processes
        dist.all_gather_object(every, peak)
    else:
        every = [peak]
    if rank == 0:
        step = statistics.median(seconds[options.warmup:])
        print(json.dumps({"tokens_per_second": size * length * microbatches * options.processes / step, "step_seconds": step,
                          "peak_mib": every, "threads": options.threads, "processes": options.processes}), flush=True)
    if options.processes > 1:
        dist.barrier()
        os._exit(0)  # Gloo's threads now and then abort a process that takes its group down


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--port", type=int, default=29517)
    parser.add_argument("--masked-only", action="store_true")
    parser.add_argument("--tokens", help="prefix of a token file")
    options = parser.parse_args()
    with open(options.config, "rb") as file:
        config = tomllib.load(file)
    if options.processes == 1:
        train(0, options, config)
    else:
        mp.spawn(train, (options, config), nprocs=options.processes)


if __name__ == "__main__":
    main()
