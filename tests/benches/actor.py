"""The policy of the benchmarks in PyTorch."""

import torch
from torch import nn


class Actor(nn.Module):
    def __init__(self, weights):
        super().__init__()
        shapes = {name: weights[f"{name}.weight"].shape for name in ("net.0", "net.2", "mean", "log_std")}
        layer = lambda name: nn.Linear(shapes[name][1], shapes[name][0])
        self.net = nn.Sequential(layer("net.0"), nn.ReLU(), layer("net.2"), nn.ReLU())
        self.mean, self.log_std = layer("mean"), layer("log_std")
        self.load_state_dict(weights)

    def forward(self, state):
        hidden = self.net(state)
        return self.mean(hidden), self.log_std(hidden).clamp(-20.0, 2.0)


def load_actor(path, jit):
    """Returns the actor of a checkpoint and its state_dim."""
    actor = Actor(torch.load(path, map_location="cpu", weights_only=True)).eval()
    state_dim = actor.net[0].in_features
    if jit:
        actor = torch.jit.freeze(torch.jit.trace(actor, torch.zeros(1, state_dim)))
    return actor, state_dim
