"""Writes the programs in programs/: TorchScript and torch.export archives that call every operator that is served, each with
a case.json of four states and what PyTorch computes for them.

    pip install torch && python make_programs.py
"""

import json
import zipfile
from pathlib import Path
from typing import List

import torch
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent / "programs"
STATES = 4
torch.manual_seed(0)
X = torch.randn(4, STATES)


class Activations(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(STATES, 4)
        self.acts = nn.ModuleList([
            nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.ELU(0.7), nn.LeakyReLU(0.2), nn.SiLU(), nn.GELU(),
            nn.GELU(approximate="tanh"), nn.SELU(), nn.CELU(1.5), nn.Mish(), nn.Softplus(), nn.Softplus(2.0),
            nn.Hardswish(), nn.Hardtanh(-0.5, 0.7), nn.ReLU6(), nn.Softsign(), nn.Hardsigmoid(), nn.PReLU(),
            nn.LogSigmoid(), nn.Dropout(0.5), nn.Identity(),
        ])
        self.last = nn.Linear(4 * len(self.acts), 2)

    def forward(self, x):
        h = 3 * self.first(x)
        parts: List[torch.Tensor] = []
        for act in self.acts:
            parts.append(act(h))
        return self.last(torch.cat(parts, dim=-1))


class Arithmetic(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(STATES, 6)
        self.weight = nn.Parameter(torch.randn(6, 3))
        self.bias = nn.Parameter(torch.randn(3))
        self.register_buffer("mean", torch.randn(STATES))
        self.register_buffer("var", torch.rand(STATES) + 0.1)
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.register_buffer("low", torch.tensor([-0.3, -0.2, -0.1]))

    def forward(self, x):
        x = torch.clamp((x - self.mean) / torch.sqrt(self.var + 1e-8), -5.0, 5.0)
        h = self.first(x.float())
        a, b = torch.chunk(h, 2, dim=-1)
        c = torch.addmm(self.bias, h, self.weight) + torch.matmul(h, self.weight) * 0.1
        d = (a**2 + 1).sqrt().log() + torch.rsqrt(b.square() + 1) + a.pow(3) * 0.01 - 1 / (2 + b.abs())
        e = torch.minimum(a, torch.maximum(-b, b * 0.5)) + (1 - a) + torch.exp(-b.abs()) + torch.reciprocal(2 + a * a)
        f = torch.where(a > 0, a * 2, b - 1) + torch.clamp(b, min=-0.3) + torch.clamp(a, max=0.2)
        g = torch.max(c, self.low)[:, self.order] + torch.sin(a) * torch.cos(b)
        cube = h.view(-1, 2, 3)
        i = cube.mean(dim=1) + cube.sum(dim=1) + (cube - cube.mean(dim=-1, keepdim=True)).reshape(x.size(0), -1)[:, :3]
        j = torch.stack([a[:, 0], b[:, 1], c[:, 2]], dim=-1) + h[:, -3:] + torch.cat((a[:, 1:], b[:, :1]), 1)
        k, _rest = torch.split(h, [3, 3], dim=1)
        m = torch.zeros_like(a) + torch.full((1, 3), 0.25) + torch.tensor([1.0, 2.0, 3.0]) + k.unsqueeze(1).squeeze(1)
        return torch.tanh((c + d + e + f + g + i + j + m) * 0.05)


class Gaussian(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(STATES), nn.Linear(STATES, 8), nn.ReLU(inplace=True), nn.BatchNorm1d(8))
        self.blocks = nn.ModuleList([nn.Linear(8, 8) for _ in range(2)])
        self.mean = nn.Linear(8, 2)
        self.log_std = nn.Parameter(torch.tensor([-0.5, 0.3]))

    def forward(self, x, deterministic: bool = True):
        h = self.net(x)
        for block in self.blocks:
            h += torch.relu(block(h))
        mean = self.mean(F.dropout(h, 0.1, self.training))
        if not deterministic:
            mean = mean + torch.randn_like(mean)
        return mean, torch.clamp(self.log_std, -5, 2).expand_as(mean)


class OneState(nn.Module):
    """Takes a state without a batch."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        return self.last(torch.stack([x[0], x[1] * x[2], x[3]]))


class Names(nn.Module):
    """Calls operators with arguments that PyTorch names in its own way, or that are seldom given."""

    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.linspace(-1.5, 2, STATES))

    def forward(self, x):
        cube = x.view(-1, 2, 2)
        a = cube.swapaxes(1, 2).reshape(-1, STATES) * (self.c + 3)
        a = a + cube.swapdims(2, 1).flatten(1) * 0.5
        b = torch.rsub(x, self.c, alpha=2) + torch.rsub(x, 2.0, alpha=3)
        b = b + torch.add(x, self.c, alpha=0.3) - torch.sub(x, self.c, alpha=0.7)
        c = F.softplus(x, 2.0, 30.0) + F.elu(x, 0.4) + F.celu(x, 2.0) + F.leaky_relu(x, 0.3) + F.hardtanh(x, -0.3, 0.8)
        d = x.new_zeros((1, STATES)) + x.new_ones((1, STATES)) + x.new_full((1, STATES), 0.5)
        return torch.tanh(0.1 * (a + b + c + d))


def without_traces(file):
    """Writes an archive anew without the stack traces, which name the folders of this machine."""
    with zipfile.ZipFile(file) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist() if not name.endswith(".debug_pkl")]
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries:
            if name.endswith("models/model.json"):
                program = json.loads(content)
                for node in program["graph_module"]["graph"]["nodes"]:
                    node["metadata"] = {}
                content = json.dumps(program).encode()
            archive.writestr(zipfile.ZipInfo(name), content)


def save(name, module, kinds, state=X[:1]):
    module.eval()
    for kind in kinds:
        folder = HERE / f"{name}_{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        file = "actor.pt2" if kind == "export" else "actor.pt"
        with torch.no_grad():
            if kind == "script":
                torch.jit.script(module).save(folder / file)
            elif kind == "trace":
                torch.jit.trace(module, state, check_trace=False).save(folder / file)
            elif kind == "freeze":
                torch.jit.freeze(torch.jit.script(module)).save(folder / file)
            else:
                dynamic = None if state.dim() == 1 else {"x": {0: torch.export.Dim("batch")}}
                example = state if state.dim() == 1 else X
                torch.export.save(torch.export.export(module, (example,), dynamic_shapes=dynamic), folder / file)
            without_traces(folder / file)
            results = [module(row if state.dim() == 1 else row[None]) for row in X]
        case = {"file": file, "one_state": state.dim() == 1, "states": X.tolist()}
        if isinstance(results[0], tuple):
            case |= {key: [r[i].flatten().tolist() for r in results] for i, key in enumerate(["mean", "log_std"])}
        else:
            case["expected"] = [result.flatten().tolist() for result in results]
        (folder / "case.json").write_text(json.dumps(case) + "\n")


save("activations", Activations(), ["script", "trace", "export"])
save("arithmetic", Arithmetic(), ["script", "trace", "export"])
gaussian = Gaussian()
gaussian.net(torch.randn(32, STATES) * 2 + 1)
save("gaussian", gaussian, ["script", "freeze", "trace", "export"])
save("one_state", OneState(), ["trace", "export"], state=X[0])
save("names", Names(), ["trace", "export"])
