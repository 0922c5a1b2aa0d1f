#!/usr/bin/env python3
"""Records what the official DARTS code computes, for comparison with `dnas probe`.

Usage: record_official_probe.py --darts CHECKOUT --out FOLDER [--init_channels 4] [--layers 3] [--classes 10]
                                [--batch 5] [--size 16] [--seed 1] [--momentum]

CHECKOUT is a checkout of the official DARTS repository (the one with cnn/model_search.py). Needs PyTorch and NumPy.
Writes to FOLDER, as safetensors:

  weights.safetensors   state_dict of a randomly initialised supernet, and alphas_normal, alphas_reduce
  batch.safetensors     images, labels: the architecture (validation) batch
  train.safetensors     images, labels: the training batch of the second-order step
  momentum.safetensors  with --momentum: momentum buffers, named like the weights
  expected.safetensors  logits, loss, grad.<name> on the batch, and unrolled.grad.alphas_* of the second-order step

Then run, with the same numbers:

  dnas probe --space darts --init_channels 4 --layers 3 --classes 10 --weights FOLDER/weights.safetensors \\
    --batch FOLDER/batch.safetensors --train_batch FOLDER/train.safetensors --xi 0.025 \\
    [--momentum_buffers FOLDER/momentum.safetensors] --out probe.safetensors
  compare_probe.py FOLDER/expected.safetensors probe.safetensors
"""
import argparse
import os
import sys
import warnings

import numpy as np
import torch

from safetensors_file import write

XI = 0.025
MOMENTUM = 0.9
WEIGHT_DECAY = 3e-4


def run_on_the_cpu():
    """The official code moves everything to a GPU and uses argument orders that newer PyTorch dropped."""
    torch.Tensor.cuda = lambda self, *_, **__: self
    torch.nn.Module.cuda = lambda self, *_, **__: self
    for name in ("add", "add_", "sub", "sub_"):
        new = getattr(torch.Tensor, name)

        def old(self, first, second=None, *, alpha=1, new=new):
            return new(self, first, alpha=alpha) if second is None else new(self, second, alpha=first)

        setattr(torch.Tensor, name, old)


def random_batch(generator, args):
    images = torch.randn(args.batch, 3, args.size, args.size, generator=generator)
    labels = torch.randint(0, args.classes, (args.batch,), generator=generator)
    return images, labels


def arrays(tensors):
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--darts", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init_channels", type=int, default=4)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--momentum", action="store_true")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    run_on_the_cpu()
    sys.path.insert(0, os.path.join(args.darts, "cnn"))
    from architect import Architect
    from model_search import Network

    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    model = Network(args.init_channels, args.classes, args.layers, torch.nn.CrossEntropyLoss())
    model.train()
    # Spread mixing weights, and an affine stem that is not the identity: both would hide mistakes.
    for alpha in model.arch_parameters():
        alpha.data.normal_(generator=generator)
    for name, parameter in model.named_parameters():
        if name.startswith("stem.1"):
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    batch = random_batch(generator, args)
    train = random_batch(generator, args)

    os.makedirs(args.out, exist_ok=True)

    def save(name, tensors):
        write(os.path.join(args.out, name + ".safetensors"), tensors)

    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    save("weights", arrays({**state, "alphas_normal": model.alphas_normal, "alphas_reduce": model.alphas_reduce}))
    save("batch", arrays({"images": batch[0], "labels": batch[1]}))
    save("train", arrays({"images": train[0], "labels": train[1]}))

    optimizer = torch.optim.SGD(model.parameters(), XI, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    if args.momentum:
        buffers = {}
        for name, parameter in model.named_parameters():
            buffers[name] = 0.05 * torch.randn(parameter.shape, generator=generator)
            optimizer.state[parameter]["momentum_buffer"] = buffers[name].clone()
        save("momentum", arrays(buffers))

    logits = model(batch[0])
    loss = torch.nn.CrossEntropyLoss()(logits, batch[1])
    loss.backward()
    expected = {"logits": logits, "loss": loss.reshape(1)}
    for name, parameter in model.named_parameters():
        expected["grad." + name] = parameter.grad.clone()
    for name in ("alphas_normal", "alphas_reduce"):
        expected["grad." + name] = getattr(model, name).grad.clone()
    model.zero_grad()

    class Arguments:
        momentum = MOMENTUM
        weight_decay = WEIGHT_DECAY
        arch_learning_rate = 3e-4
        arch_weight_decay = 1e-3

    architect = Architect(model, Arguments)
    architect.optimizer.zero_grad()
    architect._backward_step_unrolled(*train, *batch, XI, optimizer)
    for name in ("alphas_normal", "alphas_reduce"):
        expected["unrolled.grad." + name] = getattr(model, name).grad.clone()
    save("expected", arrays(expected))


if __name__ == "__main__":
    main()
