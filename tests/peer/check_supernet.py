#!/usr/bin/env python3
"""Checks that dnas and plain PyTorch compute the same: check_supernet.py --dnas BINARY [--keep FOLDER]

For supernets of several sizes with random weights, alphas and images: logits, loss and the gradient of every weight
and alpha by darts_supernet.py in double precision, which is taken as the truth, by the same in single precision, and
by `dnas probe`. Prints the relative errors (norm of the difference over norm of the truth) of the last two and exits
with 1 if dnas is off:

  logits, loss                        more than 1e-4
  all gradients as one vector         more than 1e-3
  the gradient of one tensor          more than 1e-3 for more than one in fifty, or more than 5e-2 for any: where an
                                      activation lies within rounding of the kink of a ReLU or of a tie in a max pool,
                                      two correct programs differ in single tensors
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch  # noqa: E402
from torch.nn import functional  # noqa: E402

from darts_supernet import Supernet  # noqa: E402
from tensor_file import read, write  # noqa: E402

# channels, layers, classes, batch, height, width, channels of an image, scale of alpha
CASES = (
    (4, 3, 10, 5, 16, 16, 3, 1.0),
    (8, 3, 10, 6, 8, 8, 1, 1e-3),
    (6, 5, 7, 4, 12, 8, 2, 2.0),
)


def evaluate(network, images, labels):
    logits = network(images)
    loss = functional.cross_entropy(logits, labels)
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, list(parameters.values()))
    results = {"logits": logits, "loss": loss.reshape(1)}
    results.update({"grad." + name: gradient for name, gradient in zip(parameters, gradients)})
    return {name: value.detach().double() for name, value in results.items()}


def error(found, expected, floor=0.0):
    return float((found.double() - expected).norm() / max(expected.norm(), floor, 1e-300))


def compare(found, expected):
    """Errors of logits, loss, all gradients together, and the sorted errors of each gradient with its name."""
    missing = sorted(set(expected) - set(found))
    if missing:
        sys.exit(f"FAILED: no tensor {missing[0]} and {len(missing) - 1} others")
    names = [name for name in expected if name.startswith("grad.")]
    together = torch.cat([expected[name].flatten() for name in names])
    other = torch.cat([found[name].double().flatten() for name in names])
    floor = 1e-6 * float(together.norm())  # a gradient that is zero but for rounding
    each = sorted(((error(found[n], expected[n], floor), n) for n in names), reverse=True)
    return {
        "logits": error(found["logits"], expected["logits"]),
        "loss": error(found["loss"], expected["loss"]),
        "gradients": error(other, together),
        "each": each,
    }


def is_close(errors):
    each = [value for value, _ in errors["each"]]
    return (
        errors["logits"] <= 1e-4
        and errors["loss"] <= 1e-4
        and errors["gradients"] <= 1e-3
        and max(each) <= 5e-2
        and sum(value > 1e-3 for value in each) <= len(each) // 50
    )


def run_case(case, seed, dnas, folder):
    channels, layers, classes, batch, height, width, image_channels, alpha_scale = case
    torch.manual_seed(seed)
    network = Supernet(channels, layers, classes, image_channels)
    with torch.no_grad():
        for alpha in network.alphas():
            alpha.copy_(alpha_scale * torch.randn_like(alpha))
    images = torch.randn(batch, image_channels, height, width)
    labels = torch.randint(0, classes, (batch,))
    write(folder / "weights", dict(network.named_parameters()))
    write(folder / "batch", {"images": images, "labels": labels})
    command = [dnas, "probe", "--init_channels", str(channels), "--layers", str(layers), "--classes", str(classes)]
    command += ["--weights", folder / "weights", "--batch", folder / "batch", "--out", folder / "out", "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    single = evaluate(network, images, labels)
    truth = evaluate(network.double(), images.double(), labels)
    found = read(folder / "out")
    surplus = sorted(set(found) - set(truth))
    if surplus:
        sys.exit(f"FAILED: unexpected tensor {surplus[0]}")
    own = compare(found, truth)
    for what, errors in (("PyTorch float32", compare(single, truth)), ("dnas", own)):
        worst, name = errors["each"][0]
        print(
            f"  {what:16} logits {errors['logits']:.1e}  loss {errors['loss']:.1e}  gradients {errors['gradients']:.1e}"
            f"  worst of {len(errors['each'])}: {worst:.1e} {name}"
        )
    return is_close(own)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dnas", required=True, help="the built command")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path, help="leave the files of the last case in this folder")
    args = parser.parse_args()
    torch.set_num_threads(1)  # networks this small gain nothing from more, and lose much on a busy machine
    failed = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for case in CASES:
            print("C={} L={} classes={} batch={} {}x{}x{} alpha {}".format(*case), flush=True)
            failed += not run_case(case, args.seed, args.dnas, folder)
    print("FAILED" if failed else "passed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
