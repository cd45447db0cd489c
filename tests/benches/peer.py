"""The FastAPI + PyTorch server that sac-serving is compared with: peer.py CHECKPOINT PORT, STAT_PAIR_RL_JIT=1 compiles."""

import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone

import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from torch import nn

PATH = os.path.abspath(sys.argv[1])
JIT = os.environ.get("STAT_PAIR_RL_JIT") == "1"


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


@dataclass(frozen=True)
class Loaded:
    actor: nn.Module
    state_dim: int
    identity: tuple
    modified: str


def identity():
    stat = os.stat(PATH)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def load():
    found = identity()
    actor = Actor(torch.load(PATH, map_location="cpu", weights_only=True)).eval()
    state_dim = actor.net[0].in_features
    if JIT:
        actor = torch.jit.freeze(torch.jit.trace(actor, torch.zeros(1, state_dim)))
    modified = datetime.fromtimestamp(found[3] / 1e9, timezone.utc).isoformat()
    return Loaded(actor, state_dim, found, modified)


class Holder:
    def __init__(self):
        self.lock = threading.Lock()
        self.loaded = None

    def current(self, forced=False):
        loaded = self.loaded
        if not forced and loaded is not None and loaded.identity == identity():
            return loaded
        with self.lock:
            if forced or self.loaded is None or self.loaded.identity != identity():
                self.loaded = load()
            return self.loaded


class Predict(BaseModel):
    state: list[float]


class Benchmark(BaseModel):
    warmup: int = 50
    iterations: int = 1000
    batch_size: int = 1


torch.set_num_threads(1)
app, holder = FastAPI(), Holder()


@app.post("/sac/predict")
def predict(request: Predict):
    loaded = holder.current()
    if len(request.state) != loaded.state_dim:
        raise HTTPException(400, f"state_dim mismatch: got {len(request.state)}, expected {loaded.state_dim}")
    start = time.perf_counter()
    with torch.inference_mode():
        action = torch.tanh(loaded.actor(torch.tensor([request.state]))[0])[0].tolist()
    latency = (time.perf_counter() - start) * 1e3
    return {
        "action": action[0] if len(action) == 1 else action,
        "model_path": PATH,
        "model_mtime_utc": loaded.modified,
        "latency_ms": latency,
        "jit_compiled": JIT,
    }


@app.post("/sac/model/reload")
def reload():
    return {"path": PATH, "mtime_utc": holder.current(forced=True).modified}


@app.post("/sac/benchmark")
def benchmark(request: Benchmark):
    loaded = holder.current()
    states, times = torch.zeros(request.batch_size, loaded.state_dim), []
    with torch.inference_mode():
        for index in range(request.warmup + request.iterations):
            start = time.perf_counter()
            loaded.actor(states)
            if index >= request.warmup:
                times.append((time.perf_counter() - start) * 1e3)
    return {"p50_ms": statistics.median(times)}


if __name__ == "__main__":
    holder.current()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
