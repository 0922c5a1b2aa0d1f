#!/usr/bin/env python3
"""Records what the official DARTS code computes, for comparison with `dnas probe`.

Usage: record_official_probe.py --darts CHECKOUT --out FOLDER [--init_channels 4] [--layers 3] [--classes 10]
                                [--batch 5] [--size 16] [--seed 1] [--alpha_scale 1] [--momentum]

CHECKOUT is a checkout of the official DARTS repository (the one with cnn/model_search.py). Needs PyTorch and NumPy.
Writes to FOLDER, as safetensors:

  weights.safetensors   state_dict of a randomly initialised supernet, and alphas_normal, alphas_reduce
  batch.safetensors     images, labels: the architecture (validation) batch
  train.safetensors     images, labels: the training batch of the second-order step
  momentum.safetensors  with --momentum: momentum buffers, named like the weights
  expected.safetensors  logits, loss, grad.<name> on the batch, and unrolled.grad.alphas_* of the second-order step

The official code runs twice, in double and in single precision. The double results are what is recorded (as float32);
the distance of the single ones is printed, for it says what may be asked of any float32 engine: where an activation lies
within rounding of a kink of ReLU or of a tie in a max pool, two correct engines take different sides, and gradients
differ by 1e-3 and more.

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

import torch

from compare_probe import compare
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


def as_float32(tensors):
    return {name: tensor.detach().to(torch.float32).numpy().copy() for name, tensor in tensors.items()}


def evaluate(network_class, args, state, buffers, batch, train, dtype):
    """Logits, loss and every gradient, and the architecture gradient of the second-order step."""
    from architect import Architect

    def converted(tensors):
        return tensors[0].to(dtype), tensors[1]

    class Network(network_class):
        def new(self):  # the second-order step's copy, in this precision
            copy = network_class.new(self).to(dtype)
            for name in ("alphas_normal", "alphas_reduce"):
                getattr(copy, name).data = getattr(self, name).data.clone()
            return copy

    model = Network(args.init_channels, args.classes, args.layers, torch.nn.CrossEntropyLoss()).to(dtype)
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("alphas")}, strict=False)
    for name in ("alphas_normal", "alphas_reduce"):
        getattr(model, name).data = state[name].to(dtype)
    model.train()
    batch, train = converted(batch), converted(train)

    logits = model(batch[0])
    loss = torch.nn.CrossEntropyLoss()(logits, batch[1])
    loss.backward()
    result = {"logits": logits, "loss": loss.reshape(1)}
    for name, parameter in [*model.named_parameters(), *named_alphas(model)]:
        result["grad." + name] = parameter.grad.clone()
    model.zero_grad()

    optimizer = torch.optim.SGD(model.parameters(), XI, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    for name, parameter in model.named_parameters():
        if name in buffers:
            optimizer.state[parameter]["momentum_buffer"] = buffers[name].to(dtype)

    class Arguments:
        momentum = MOMENTUM
        weight_decay = WEIGHT_DECAY
        arch_learning_rate = 3e-4
        arch_weight_decay = 1e-3

    architect = Architect(model, Arguments)
    architect.optimizer.zero_grad()
    architect._backward_step_unrolled(*train, *batch, XI, optimizer)
    for name, alpha in named_alphas(model):
        result["unrolled.grad." + name] = alpha.grad.clone()
    return result


def named_alphas(model):
    return [(name, getattr(model, name)) for name in ("alphas_normal", "alphas_reduce")]


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
    parser.add_argument("--alpha_scale", type=float, default=1.0)
    parser.add_argument("--momentum", action="store_true")
    args = parser.parse_args()

    warnings.filterwarnings("ignore")
    run_on_the_cpu()
    sys.path.insert(0, os.path.join(args.darts, "cnn"))
    from model_search import Network

    generator = torch.Generator().manual_seed(args.seed)
    torch.manual_seed(args.seed)
    model = Network(args.init_channels, args.classes, args.layers, torch.nn.CrossEntropyLoss())
    model.train()
    # Spread mixing weights, and an affine stem that is not the identity: both would hide mistakes.
    for alpha in model.arch_parameters():
        alpha.data.copy_(args.alpha_scale * torch.randn(alpha.shape, generator=generator))
    for name, parameter in model.named_parameters():
        if name.startswith("stem.1"):
            parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    batch = random_batch(generator, args)
    train = random_batch(generator, args)

    os.makedirs(args.out, exist_ok=True)

    def save(name, tensors):
        write(os.path.join(args.out, name + ".safetensors"), tensors)

    state = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    state.update((name, alpha.data) for name, alpha in named_alphas(model))
    save("weights", arrays(state))
    save("batch", arrays({"images": batch[0], "labels": batch[1]}))
    save("train", arrays({"images": train[0], "labels": train[1]}))

    buffers = {}
    if args.momentum:
        for name, parameter in model.named_parameters():
            buffers[name] = 0.05 * torch.randn(parameter.shape, generator=generator)
        save("momentum", arrays(buffers))

    save("expected", as_float32(evaluate(Network, args, state, buffers, batch, train, torch.float64)))
    save("float32", as_float32(evaluate(Network, args, state, buffers, batch, train, torch.float32)))
    print("the official code in float32 against itself in double precision:")
    compare(os.path.join(args.out, "expected.safetensors"), os.path.join(args.out, "float32.safetensors"))


if __name__ == "__main__":
    main()
