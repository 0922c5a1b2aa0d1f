#!/usr/bin/env python3
"""Measures the steps of a first-order DARTS search in PyTorch, in one process, and prints JSON as `dnas bench` does.

On the CPU usually run by compare_steps.py, which also preloads tcmalloc for all variants but `eager`. On a GPU
(--device cuda; scripts/gpu-check runs several variants) times are taken between device events, and two more steps are
measured: the gradients of the weights and of alpha alone, without clipping and optimizer. Exit code 77: no CUDA device.
"""
import argparse
import contextlib
import json
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from darts_supernet import Supernet  # noqa: E402


NO_DEVICE = 77


def peak_bytes(device):
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


class Search:
    """The moving parts of a search, and a random batch of each split."""

    def __init__(self, args):
        torch.manual_seed(args.seed)
        self.device, self.amp, self.graph = args.device, args.amp, args.graph
        height, width, channels = args.image
        network = Supernet(args.channels, args.layers, args.classes, channels).to(args.device)
        images = [torch.randn(args.batch, channels, height, width) for _ in range(2)]
        labels = [torch.randint(0, args.classes, (args.batch,)) for _ in range(2)]
        self.images = [each.to(args.device) for each in images]
        self.labels = [each.to(args.device) for each in labels]
        self.weights, self.alphas = network.weights(), network.alphas()
        self.network = network
        if args.variant != "eager":
            self.network = network.to(memory_format=torch.channels_last)
            self.images = [images.contiguous(memory_format=torch.channels_last) for images in self.images]
        if args.variant == "best":
            self.network = torch.jit.trace(self.network, self.images[0], check_trace=False)
        self.sgd = torch.optim.SGD(self.weights, lr=0.025, momentum=0.9, weight_decay=3e-4)
        capturable = {"capturable": True} if args.graph else {}
        self.adam = torch.optim.Adam(self.alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3, **capturable)

    def autocast(self):
        if not self.amp:
            return contextlib.nullcontext()
        # In a graph the cache of converted weights would be filled by the capture and never again.
        return torch.autocast(self.device, dtype=torch.bfloat16, cache_enabled=not self.graph)

    def gradients(self, split, parameters):
        """Of these parameters only: autograd leaves out what they do not need."""
        with self.autocast():
            loss = functional.cross_entropy(self.network(self.images[split]), self.labels[split])
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        # On a GPU reading it would wait for the device; a search reads it now and then.
        return loss.item() if self.device == "cpu" else loss

    def weight_gradients(self):
        self.gradients(0, self.weights)

    def arch_gradients(self):
        self.gradients(1, self.alphas)

    def weight_step(self):
        self.weight_gradients()
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()

    def arch_step(self):
        self.arch_gradients()
        self.adam.step()

    def search_step(self):
        self.arch_step()
        self.weight_step()

    def steps(self):
        named = [("weights", self.weight_step), ("arch", self.arch_step), ("search", self.search_step)]
        if self.device == "cuda":
            named += [("weight gradients", self.weight_gradients), ("arch gradients", self.arch_gradients)]
        return named


def compile_trace(search):
    """The tracing compiler observes the first calls of each set of gradients, then compiles: minutes, not steps."""
    for _ in range(3):
        search.gradients(0, search.weights)
        search.gradients(1, search.alphas)


def measure(step, warmup, repeat):
    for _ in range(warmup):
        step()
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def captured(step):
    """A replay of the step, captured as the PyTorch manual says: after some runs on a stream of their own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def measure_cuda(step, warmup, repeat):
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for _ in range(warmup):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(repeat):
        begin.record()
        step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return times


def extents(text):
    height, width, channels = map(int, text.split("x"))
    return height, width, channels


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--variant", choices=("eager", "channels_last", "best"), default="eager")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--image", type=extents, default=(8, 8, 1))
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--tf32", action="store_true", help="TF32 products in convolutions and matrix products")
    parser.add_argument("--amp", action="store_true", help="bfloat16 where autocast chooses it")
    parser.add_argument("--graph", action="store_true", help="replay each step as a CUDA graph")
    args = parser.parse_args()
    if args.device == "cpu" and (args.tf32 or args.graph):
        parser.error("--tf32 and --graph need --device cuda")
    if args.device == "cuda":
        if not torch.cuda.is_available():
            print("skipped: no CUDA device", file=sys.stderr)
            sys.exit(NO_DEVICE)
        torch.backends.cuda.matmul.allow_tf32 = args.tf32
        torch.backends.cudnn.allow_tf32 = args.tf32
        torch.backends.cudnn.benchmark = True  # the sizes never change
    torch.set_num_threads(args.threads)
    search = Search(args)
    if args.variant == "best":
        compile_trace(search)
    steps = []
    for name, step in search.steps():
        if args.device == "cuda":
            times = measure_cuda(captured(step) if args.graph else step, args.warmup, args.repeat)
        else:
            times = measure(step, args.warmup, args.repeat)
        steps.append({"step": name, "median_ms": statistics.median(times), "times_ms": times})
        if args.graph:
            torch.cuda.empty_cache()  # a graph that is gone leaves gigabytes behind
    report = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "steps": steps,
        "memory": {"peak_bytes": peak_bytes(args.device)},
    }
    if args.device == "cuda":
        report["device"] = torch.cuda.get_device_name()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
