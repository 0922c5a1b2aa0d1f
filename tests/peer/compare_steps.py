#!/usr/bin/env python3
"""Compares time and memory of dnas's search steps with plain PyTorch: compare_steps.py --dnas BINARY [--config NAME]...

In each round every program runs once, in a process of its own, one after the other, so that all see the same machine:

  dnas           `dnas bench --step all`
  eager          darts_supernet.py as it is
  channels_last  the same in that memory format and, where it is found, with tcmalloc (LD_PRELOAD)
  best           the same and torch.jit.trace

Each process warms up, then measures every step --repeat times and reports its median; the table has the median over the
rounds, the ratio to dnas, and the range of that ratio over the rounds. Peak memory is that of the whole process.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"
STEPS = ("weights", "arch", "search")
VARIANTS = ("eager", "channels_last", "best")
# The canonical one is the official CIFAR-10 search.
CONFIGS = {
    "digits": {"channels": 8, "layers": 3, "batch": 64, "image": "8x8x1"},
    "small": {"channels": 8, "layers": 3, "batch": 16, "image": "32x32x3"},
    "canonical": {"channels": 16, "layers": 8, "batch": 64, "image": "32x32x3"},
}


def run(command, threads, preload=None):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    if preload:
        environment["LD_PRELOAD"] = preload
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexit code {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def run_dnas(args, config):
    command = [args.dnas, "bench", "--json", "--quiet", "--step", "all", "--classes", "10"]
    command += ["--init_channels", str(config["channels"]), "--layers", str(config["layers"])]
    command += ["--batch_size", str(config["batch"]), "--image", config["image"]]
    command += ["--threads", str(args.threads), "--warmup", str(args.warmup), "--repeat", str(args.repeat)]
    return run(command, args.threads)


def run_torch(args, config, variant):
    command = [args.python, HERE / "torch_steps.py", "--variant", variant]
    for name, value in config.items():
        command += ["--" + name, str(value)]
    command += ["--threads", str(args.threads), "--warmup", str(args.warmup), "--repeat", str(args.repeat)]
    return run(command, args.threads, None if variant == "eager" else args.tcmalloc)


def quantities(report):
    values = {step["step"]: step["median_ms"] for step in report["steps"]}
    values["memory"] = report["memory"]["peak_bytes"] / 2**20
    return values


def table(name, rounds, variants):
    """Rows of Markdown from one {program: quantities} per round."""
    rows = []
    for what in (*STEPS, "memory"):
        title = "peak memory, MiB" if what == "memory" else f"{what} step, ms"
        digits = 0 if what == "memory" else 2
        own = [values["dnas"][what] for values in rounds]
        cells = [name, title, f"{statistics.median(own):.{digits}f}"]
        for variant in variants:
            peer = [values[variant][what] for values in rounds]
            ratios = sorted(p / o for p, o in zip(peer, own))
            spread = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
            cells += [f"{statistics.median(peer):.{digits}f}", f"{statistics.median(ratios):.2f}{spread}"]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dnas", required=True, help="the built command")
    parser.add_argument("--python", default=sys.executable, help="an interpreter with PyTorch [this one]")
    parser.add_argument("--config", action="append", choices=CONFIGS, help="may be repeated [digits, small]")
    parser.add_argument("--peer", action="append", choices=VARIANTS, help="may be repeated [eager, best]")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each program [all]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--tcmalloc", default=TCMALLOC, help=f"preloaded except for eager; '' for none [{TCMALLOC}]")
    args = parser.parse_args()
    if args.rounds < 1 or args.repeat < 1:
        parser.error("--rounds and --repeat must be at least 1")
    if not os.path.exists(args.tcmalloc):
        args.tcmalloc = None

    variants = args.peer or ["eager", "best"]
    rows, report, torch_version = [], None, ""
    for name in args.config or ("digits", "small"):
        rounds = []
        for number in range(args.rounds):
            print(f"{name}: round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
            report = run_dnas(args, CONFIGS[name])
            values = {"dnas": quantities(report)}
            for variant in variants:
                peer = run_torch(args, CONFIGS[name], variant)
                torch_version = peer["torch"]
                values[variant] = quantities(peer)
            rounds.append(values)
        rows += table(name, rounds, variants)

    build, machine = report["build"], report["machine"]
    print(f"{datetime.date.today()}; {machine['cpu']} ({machine['isa']}), {machine['processors']} processors, ", end="")
    print(f"{args.threads} threads; {machine['system']}; dnas {build['version']} ({build['compiler']}, ", end="")
    allocator = "with" if args.tcmalloc else "without"
    print(f"{build['build_type']}); PyTorch {torch_version}, eager without, others {allocator} tcmalloc; ", end="")
    print(f"median of {args.rounds} rounds of {args.repeat} repetitions.\n")
    columns = ["configuration", "", "dnas"]
    for variant in variants:
        columns += [f"PyTorch {variant}", "times dnas"]
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
