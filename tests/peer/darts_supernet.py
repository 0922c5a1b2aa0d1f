"""The DARTS supernet in plain PyTorch, written from the paper (Liu et al. 2019, arXiv:1806.09055): NCHW, module by
module, as one writes it without an engine. Parameters have the names of dnas's files, so weights can be exchanged.
"""
import torch
from torch import nn
from torch.nn import functional

OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NODES = 4
EDGES = sum(2 + node for node in range(NODES))


def batch_norm(channels):
    return nn.BatchNorm2d(channels, affine=False)


class None_(nn.Module):
    """Zeros of the size that the other candidates have."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        return 0.0 * x[:, :, :: self.stride, :: self.stride]


class ReluConv(nn.Module):
    """ReLU, 1x1 convolution, batch norm."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(channels_in, channels, 1, bias=False), batch_norm(channels))

    def forward(self, x):
        return self.op(x)


class FactorizedReduce(nn.Module):
    """Halves height and width: two 1x1 convolutions of stride 2, one on even pixels, one on odd ones."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.conv_1 = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.bn = batch_norm(channels)

    def forward(self, x):
        x = functional.relu(x)
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:])], dim=1))


def separable(channels, kernel, stride, dilation=1):
    """ReLU, depthwise and 1x1 convolution, batch norm: as a list, so that numbers in names run on."""
    depthwise = nn.Conv2d(
        channels,
        channels,
        kernel,
        stride=stride,
        padding=dilation * (kernel // 2),
        dilation=dilation,
        groups=channels,
        bias=False,
    )
    return [nn.ReLU(), depthwise, nn.Conv2d(channels, channels, 1, bias=False), batch_norm(channels)]


class Separable(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.op = nn.Sequential(*layers)

    def forward(self, x):
        return self.op(x)


def candidate(name, channels, stride):
    if name == "none":
        return None_(stride)
    if name == "max_pool_3x3":
        return nn.Sequential(nn.MaxPool2d(3, stride, padding=1), batch_norm(channels))
    if name == "avg_pool_3x3":
        return nn.Sequential(nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), batch_norm(channels))
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    kernel = int(name[-1])
    if name.startswith("sep_conv"):
        return Separable(*separable(channels, kernel, stride), *separable(channels, kernel, 1))
    return Separable(*separable(channels, kernel, stride, dilation=2))


class Edge(nn.Module):
    """Equation 2: the candidates on one edge, weighted."""

    def __init__(self, channels, stride):
        super().__init__()
        self._ops = nn.ModuleList(candidate(name, channels, stride) for name in OPERATIONS)

    def forward(self, x, weights):
        total = weights[0] * self._ops[0](x)
        for k in range(1, len(OPERATIONS)):
            total = total + weights[k] * self._ops[k](x)
        return total


class Cell(nn.Module):
    def __init__(self, channels_0, channels_1, channels, reduction, reduction_before):
        super().__init__()
        self.reduction = reduction
        preprocess = FactorizedReduce if reduction_before else ReluConv
        self.preprocess0 = preprocess(channels_0, channels)
        self.preprocess1 = ReluConv(channels_1, channels)
        self._ops = nn.ModuleList(
            Edge(channels, 2 if reduction and state < 2 else 1) for node in range(NODES) for state in range(2 + node)
        )

    def forward(self, s0, s1, weights):
        states = [self.preprocess0(s0), self.preprocess1(s1)]
        edge = 0
        for _ in range(NODES):
            total = 0
            for state in states:
                total = total + self._ops[edge](state, weights[edge])
                edge += 1
            states.append(total)
        return torch.cat(states[2:], dim=1)


class Supernet(nn.Module):
    def __init__(self, channels, layers, classes, image_channels):
        super().__init__()
        width = 3 * channels
        self.stem = nn.Sequential(
            nn.Conv2d(image_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )
        self.cells = nn.ModuleList()
        width_0, width_1, reduction_before = width, width, False
        for layer in range(layers):
            reduction = layer in (layers // 3, 2 * layers // 3)
            if reduction:
                channels *= 2
            self.cells.append(Cell(width_0, width_1, channels, reduction, reduction_before))
            width_0, width_1, reduction_before = width_1, NODES * channels, reduction
        self.classifier = nn.Linear(width_1, classes)
        self.alphas_normal = nn.Parameter(1e-3 * torch.randn(EDGES, len(OPERATIONS)))
        self.alphas_reduce = nn.Parameter(1e-3 * torch.randn(EDGES, len(OPERATIONS)))

    def forward(self, images):
        normal = functional.softmax(self.alphas_normal, dim=1)
        reduce = functional.softmax(self.alphas_reduce, dim=1)
        s0 = s1 = self.stem(images)
        for cell in self.cells:
            s0, s1 = s1, cell(s0, s1, reduce if cell.reduction else normal)
        return self.classifier(s1.mean(dim=(2, 3)))

    def alphas(self):
        return [self.alphas_normal, self.alphas_reduce]

    def weights(self):
        """Every parameter but the alphas."""
        return [value for name, value in self.named_parameters() if not name.startswith("alphas_")]
