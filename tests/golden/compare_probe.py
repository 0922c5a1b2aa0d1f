#!/usr/bin/env python3
"""Compares two probes tensor by tensor: compare_probe.py EXPECTED.safetensors FOUND.safetensors

Prints the largest relative errors (norm of the difference over norm of the expected tensor) and exits with 1 if one is
above 1e-4 (logits, loss) or 1e-3 (gradients), or a tensor is missing.
"""
import sys

import numpy as np

from safetensors_file import read


def compare(expected_path, found_path):
    """Prints the comparison; True if every tensor is within its limit."""
    expected, found = read(expected_path), read(found_path)
    # A gradient that is zero but for rounding is compared with the size of the others.
    floor = 1e-6 * max(np.linalg.norm(v) for n, v in expected.items() if n.startswith("grad."))
    rows, failed = [], False
    for name, value in expected.items():
        if name not in found:
            print(f"missing: {name}")
            failed = True
            continue
        other = found[name].astype(np.float64).reshape(value.shape)
        error = np.linalg.norm(value.astype(np.float64) - other) / max(np.linalg.norm(value), floor)
        limit = 1e-4 if name in ("logits", "loss") else 1e-3
        failed = failed or not error <= limit
        rows.append((error, limit, name))
    groups = {"logits": "logits", "loss": "loss", "unrolled": "unrolled.", "alphas": "grad.alphas", "weights": "grad."}
    seen = set()
    for group, prefix in groups.items():
        mine = [row for row in rows if row[2].startswith(prefix) and row[2] not in seen]
        seen.update(row[2] for row in mine)
        if mine:
            error, limit, name = max(mine)
            print(f"{group:9} {len(mine):5} tensors, largest relative error {error:.2e} (limit {limit:.0e}) in {name}")
    return not failed


if __name__ == "__main__":
    passed = compare(sys.argv[1], sys.argv[2])
    print("passed" if passed else "FAILED")
    sys.exit(0 if passed else 1)
