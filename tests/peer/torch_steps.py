#!/usr/bin/env python3
"""Measures the steps of a first-order DARTS search in PyTorch, in one process, and prints JSON as `dnas bench` does.

Usually run by compare_steps.py, which also preloads tcmalloc for all variants but `eager`.
"""
import argparse
import json
import statistics
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from darts_supernet import Supernet  # noqa: E402


def peak_bytes():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 0


class Search:
    """The moving parts of a search, and a random batch of each split."""

    def __init__(self, args):
        torch.manual_seed(args.seed)
        height, width, channels = args.image
        network = Supernet(args.channels, args.layers, args.classes, channels)
        self.images = [torch.randn(args.batch, channels, height, width) for _ in range(2)]
        self.labels = [torch.randint(0, args.classes, (args.batch,)) for _ in range(2)]
        self.weights, self.alphas = network.weights(), network.alphas()
        self.network = network
        if args.variant != "eager":
            self.network = network.to(memory_format=torch.channels_last)
            self.images = [images.contiguous(memory_format=torch.channels_last) for images in self.images]
        if args.variant == "best":
            self.network = torch.jit.trace(self.network, self.images[0], check_trace=False)
        self.sgd = torch.optim.SGD(self.weights, lr=0.025, momentum=0.9, weight_decay=3e-4)
        self.adam = torch.optim.Adam(self.alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def gradients(self, split, parameters):
        """Of these parameters only: autograd leaves out what they do not need."""
        loss = functional.cross_entropy(self.network(self.images[split]), self.labels[split])
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
            parameter.grad = gradient
        return loss.item()

    def weight_step(self):
        self.gradients(0, self.weights)
        torch.nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()

    def arch_step(self):
        self.gradients(1, self.alphas)
        self.adam.step()

    def search_step(self):
        self.arch_step()
        self.weight_step()


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
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    search = Search(args)
    if args.variant == "best":
        compile_trace(search)
    steps = []
    for name, step in (("weights", search.weight_step), ("arch", search.arch_step), ("search", search.search_step)):
        times = measure(step, args.warmup, args.repeat)
        steps.append({"step": name, "median_ms": statistics.median(times), "times_ms": times})
    print(
        json.dumps(
            {
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
                "steps": steps,
                "memory": {"peak_bytes": peak_bytes()},
            }
        )
    )


if __name__ == "__main__":
    main()
