"""The FastAPI server that sac-serving is compared with: peer.py CHECKPOINT PORT.

A .pt runs on PyTorch, compiled if STAT_PAIR_RL_JIT is 1, and an .onnx on ONNX Runtime. Both use one thread a request, which
is the fastest for networks of this size.
"""

import os
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

PATH = os.path.abspath(sys.argv[1])
JIT = os.environ.get("STAT_PAIR_RL_JIT") == "1"


if PATH.endswith(".onnx"):
    import numpy as np
    import onnxruntime

    class Backend:
        def __init__(self):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(PATH, options, providers=["CPUExecutionProvider"])
            self.state_dim = self.session.get_inputs()[0].shape[1]

        def zeros(self, rows):
            return np.zeros((rows, self.state_dim), np.float32)

        def forward(self, states):
            return self.session.run(["mean", "log_std"], {"state": states})

        def act(self, states):
            return np.tanh(self.forward(np.array(states, np.float32))[0]).tolist()

else:
    import torch
    from actor import load_actor

    torch.set_num_threads(1)

    class Backend:
        def __init__(self):
            self.actor, self.state_dim = load_actor(PATH, JIT)

        def zeros(self, rows):
            return torch.zeros(rows, self.state_dim)

        @torch.inference_mode()
        def forward(self, states):
            return self.actor(states)

        @torch.inference_mode()
        def act(self, states):
            return torch.tanh(self.actor(torch.tensor(states))[0]).tolist()


@dataclass(frozen=True)
class Loaded:
    backend: Backend
    identity: tuple
    modified: str


def identity():
    stat = os.stat(PATH)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def load():
    found = identity()
    modified = datetime.fromtimestamp(found[3] / 1e9, timezone.utc).isoformat()
    return Loaded(Backend(), found, modified)


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


class PredictBatch(BaseModel):
    states: list[list[float]]


class Benchmark(BaseModel):
    warmup: int = 50
    iterations: int = 1000
    batch_size: int = 1


app, holder = FastAPI(), Holder()


@app.post("/sac/predict")
def predict(request: Predict):
    loaded = holder.current()
    actions, latency = act(loaded.backend, [request.state])
    return {"action": one(actions[0]), **origin(loaded), "latency_ms": latency}


@app.post("/sac/predict/batch")
def predict_batch(request: PredictBatch):
    loaded = holder.current()
    actions, latency = act(loaded.backend, request.states)
    batch_size = len(actions)
    return {"actions": [one(row) for row in actions], "batch_size": batch_size, **origin(loaded), "latency_ms": latency}


def act(backend, states):
    for state in states:
        if len(state) != backend.state_dim:
            raise HTTPException(400, f"state_dim mismatch: got {len(state)}, expected {backend.state_dim}")
    start = time.perf_counter()
    actions = backend.act(states)
    return actions, (time.perf_counter() - start) * 1e3


def one(action):
    return action[0] if len(action) == 1 else action


def origin(loaded):
    return {"model_path": PATH, "model_mtime_utc": loaded.modified, "jit_compiled": JIT}


@app.post("/sac/model/reload")
def reload():
    return {"path": PATH, "mtime_utc": holder.current(forced=True).modified}


@app.post("/sac/benchmark")
def benchmark(request: Benchmark):
    loaded = holder.current()
    states, times = loaded.backend.zeros(request.batch_size), []
    for index in range(request.warmup + request.iterations):
        start = time.perf_counter()
        loaded.backend.forward(states)
        if index >= request.warmup:
            times.append((time.perf_counter() - start) * 1e3)
    return {"p50_ms": statistics.median(times)}


if __name__ == "__main__":
    holder.current()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
