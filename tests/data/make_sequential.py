"""Writes networks of nn.Sequential into sequential/, and sequential/expected.json: four states and what PyTorch computes for them.

    pip install torch && python make_sequential.py
"""

import json
from pathlib import Path

import torch
from torch import nn

HERE = Path(__file__).parent / "sequential"
expected = {}
torch.manual_seed(0)
STATES = torch.randn(4, 3)


def write(name, *modules, state_dict=False):
    network = nn.Sequential(*modules)
    for module in network:
        if isinstance(module, (nn.LayerNorm, nn.BatchNorm1d)):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.uniform_(module.bias, -1, 1)
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.001, 0.01)
    network.eval()
    torch.save(network.state_dict() if state_dict else network, HERE / f"{name}.pt")
    expected[name] = {"states": STATES.tolist(), "actions": network(STATES).tolist()}


def layers(*between):
    return [nn.Linear(3, 8), *between, nn.ReLU(), nn.Linear(8, 3)]


HERE.mkdir(exist_ok=True)
write("plain", *layers(), nn.Tanh())
write("two_outputs", nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2), nn.Tanh())
write("activation_before_the_first_layer", nn.Tanh(), *layers(), nn.Tanh())
write("two_activations_after_the_last_layer", *layers(), nn.Tanh(), nn.Tanh())
for kind, norm in (("layer", nn.LayerNorm), ("batch", nn.BatchNorm1d)):
    write(f"{kind}_norm", *layers(norm(8)), nn.Tanh())
    write(f"{kind}_norm_after_the_last_layer", *layers(), norm(3), nn.Tanh())
    write(f"{kind}_norm_after_the_last_layer.state_dict", *layers(), norm(3), nn.Tanh(), state_dict=True)
write("batch_norm.state_dict", *layers(nn.BatchNorm1d(8)), nn.Tanh(), state_dict=True)
write("batch_norm_of_another_epsilon.state_dict", *layers(nn.BatchNorm1d(8, eps=1e-3)), nn.Tanh(), state_dict=True)
(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
