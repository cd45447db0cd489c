"""Writes the small PyTorch, safetensors and Stable-Baselines3 checkpoints in torch/, each of which is special in the
one way that its name says, and torch/expected.json: what PyTorch computes for the good ones, and why the others are
refused. The weights are those of pendulum_00500.state_dict.pt, or small random ones.

    pip install torch onnx numpy safetensors stable_baselines3 && python make_torch.py

The same every time, but for legacy*.pt (memory addresses as keys) and actor.safetensors (the order of its metadata).

Do not load the executes_*.pt with torch.load(weights_only=False): they run a (harmless) command.
"""

import argparse
import io
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict
from pathlib import Path

import gymnasium
import numpy as np
import onnx
import safetensors.torch
import torch
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

HERE = Path(__file__).parent / "torch"
BASE = HERE.parent / "pendulum_00500.state_dict.pt"
GOLDEN = json.loads((HERE.parent / "golden.json").read_text())["pendulum_00500"]
STATES = torch.tensor(GOLDEN["states"][:4])
expected, refusals = {}, {}


class Actor(nn.Module):
    def __init__(self, widths, actions=1, activation=nn.ReLU, bias=True):
        super().__init__()
        layers = [[nn.Linear(i, o, bias), activation()] for i, o in zip(widths, widths[1:])]
        self.net = nn.Sequential(*sum(layers, []))
        self.mean, self.log_std = nn.Linear(widths[-1], actions), nn.Linear(widths[-1], actions)

    def forward(self, state):
        hidden = self.net(state)
        return self.mean(hidden), self.log_std(hidden).clamp(-20.0, 2.0)


def actor(sd, activation=nn.ReLU):
    """The policy with these weights, as PyTorch runs it in float32."""
    trunk = sorted((k for k in sd if re.fullmatch(r"net\.\d+\.weight", k)), key=lambda k: int(k.split(".")[1]))
    widths = [sd[trunk[0] if trunk else "mean.weight"].shape[1], *(len(sd[k]) for k in trunk)]
    model = Actor(widths, len(sd["mean.weight"]), activation, "net.0.bias" in sd)
    model.load_state_dict({k: v.float() for k, v in sd.items()})
    return model


def small(*widths, actions=1, seed=0, **options):
    torch.manual_seed(seed)
    return Actor(widths, actions, **options).state_dict()


def rename(sd, **parts):
    """The same tensors under other names: each dotted part is replaced, `.` before it and after."""
    swap = lambda k: re.sub(r"^(net\.\d+|mean|log_std)", lambda m: parts.get(m[0].replace(".", "_"), m[0]), k)
    return OrderedDict((swap(k), v) for k, v in sd.items())


def prefixed(sd, prefix):
    return OrderedDict((prefix + k, v) for k, v in sd.items())


def mlp(*widths, seed=1):
    torch.manual_seed(seed)
    layers = [[nn.Linear(i, o), nn.ReLU()] for i, o in zip(widths, widths[1:])]
    return nn.Sequential(*sum(layers, [])[:-1], nn.Identity())


def expect(name, mean, log_std, action):
    """Notes what a good file computes, or that it is just what golden.json says."""
    got = {k: v.detach().double() for k, v in {"mean": mean, "log_std": log_std, "action": action}.items()}
    for scaled, key in [(False, "action_squashed"), (True, "action_scaled")]:
        golden = {"mean": GOLDEN["mean"], "log_std": GOLDEN["log_std"], "action": GOLDEN[key]}
        if all(v.shape == (4, 1) and np.allclose(v, golden[k][:4], rtol=0, atol=5e-7) for k, v in got.items()):
            expected[name] = {"same_as": "pendulum_00500", "scaled": scaled}
            return
    rows = lambda t: [[round(x, 7) for x in row] for row in t.tolist()]
    expected[name] = {"states": GOLDEN["states"][:4], **{k: rows(v) for k, v in got.items()}}


def good(name, content, model=actor, scale=1.0, save=torch.save, load=None, **options):
    """Saves, loads again with PyTorch, and lets `model` make the policy of what was loaded."""
    save(content, HERE / name, **options)
    loaded = (load or (lambda path: torch.load(path, weights_only=False)))(HERE / name)
    with torch.no_grad():
        mean, log_std = model(loaded)(STATES)
        expect(name, mean, log_std, scale * torch.tanh(mean))


def refused(name, why, content=None, save=torch.save, **options):
    if content is not None:
        save(content, HERE / name, **options)
    refusals[name] = why


def served(name, content=None, save=torch.save):
    """A file that is loaded; what it computes is compared elsewhere."""
    if content is not None:
        save(content, HERE / name)


def inside(*keys, activation=nn.ReLU, strip=""):
    """How to find the policy inside of a checkpoint that keeps other things next to it."""
    def model(loaded):
        for k in keys:
            loaded = loaded[k]
        return actor({k.removeprefix(strip): v for k, v in loaded.items()}, activation)
    return model


sd = torch.load(BASE)
tiny = small(3, 8, 8)
critic = mlp(4, 8, 1).state_dict()


def adam(sd):
    """The state of a real Adam after one step."""
    parameters = [nn.Parameter(v.clone()) for v in sd.values()]
    optimizer = torch.optim.Adam(parameters, lr=3e-4)
    sum((p ** 2).sum() for p in parameters).backward()
    optimizer.step()
    return optimizer.state_dict()


# --- Containers, prefixes and types of numbers ---

good("legacy.pt", sd, _use_new_zipfile_serialization=False)
good("legacy_agent.pt", {"actor": sd, "critic": critic, "config": {"action_low": [-2.0], "action_high": [2.0]}},
     inside("actor"), scale=2, _use_new_zipfile_serialization=False)
good("data_parallel.pt", {"model_state_dict": prefixed(sd, "module.")}, inside("model_state_dict", strip="module."))
good("compiled.pt", {"policy": prefixed(sd, "_orig_mod."),
                     "optimizer": adam({k: v for k, v in sd.items() if k != "net.2.weight"})},
     inside("policy", strip="_orig_mod."))
for kind, dtype in [("bf16", torch.bfloat16), ("f16", torch.float16), ("f64", torch.float64)]:
    good(f"{kind}.pt", OrderedDict((k, v.to(dtype)) for k, v in sd.items()))

tensors = dict(save=safetensors.torch.save_file, load=safetensors.torch.load_file)
good("actor.safetensors", sd, scale=2, **tensors,
     metadata={"action_low": "[-2.0]", "action_high": "[2.0]", "activation": "relu"})
good("bf16.safetensors", {k: v.bfloat16() for k, v in sd.items()}, **tensors)

# All tensors in one storage, the second layer's weight transposed.
flat, views, at = torch.cat([(v.t() if k == "net.2.weight" else v).flatten() for k, v in sd.items()]), OrderedDict(), 0
for key, value in sd.items():
    view = flat[at:at + value.numel()].view(value.shape)
    views[key] = view.t() if key == "net.2.weight" else view
    at += value.numel()
good("flat_views.pt", views)

# --- Layers ---

good("deep.pt", small(3, 8, 5, 7, 6, actions=2))
order = small(3, 6, 6, 6, 6, 6, 6)  # net.0, net.10, net.2, ...: neither the file's order nor the names' as text
good("layer_order.pt", OrderedDict(sorted(order.items())))
no_trunk = small(3, actions=2)
no_trunk["log_std.bias"] = torch.tensor([1.8, -19.8])  # some beyond each of the clamp's ends
no_trunk["log_std.weight"] *= 2
good("no_trunk.pt", no_trunk)
good("no_bias.pt", OrderedDict((k, v) for k, v in sd.items() if not re.fullmatch(r"net\.\d\.bias", k)))


def two_outputs(loaded):
    net = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    net.load_state_dict({k.removeprefix("net."): v for k, v in loaded.items()})
    return lambda state: (net(state)[:, :1], net(state)[:, 1:].clamp(-20, 2))


def constant_log_std(loaded):
    sd = {k: v for k, v in loaded.items() if k != "log_std"}
    return actor({**sd, "log_std.weight": torch.zeros(1, 64), "log_std.bias": loaded["log_std"].flatten()})


trunk = OrderedDict((k, v) for k, v in sd.items() if k.startswith("net."))
heads = OrderedDict((f"net.4.{p}", torch.cat([sd[f"mean.{p}"], sd[f"log_std.{p}"]])) for p in ["weight", "bias"])
good("heads_2x.pt", OrderedDict(**trunk, **heads), two_outputs)
only_mean = OrderedDict((k, v) for k, v in sd.items() if not k.startswith("log_std"))
good("log_std_parameter.pt", OrderedDict(**only_mean, log_std=nn.Parameter(torch.tensor([-0.5]))), constant_log_std)
good("log_std_row.pt", OrderedDict(**only_mean, log_std=torch.tensor([[-0.7]])), constant_log_std)

# --- Activations and configurations ---

good("tanh_config.pt", {"actor": sd, "config": {"activation": "tanh", "max_action": 2.0}},
     inside("actor", activation=nn.Tanh), scale=2)
good("elu_class.pt", {"state_dict": sd, "config": {"activation_fn": nn.ELU}}, inside("state_dict", activation=nn.ELU))
good("silu_config.pt", {"actor": sd, "config": {"activation": "SiLU"}}, inside("actor", activation=nn.SiLU))
good("gelu_config.pt", {"actor": sd, "config": {"activation": "gelu"}}, inside("actor", activation=nn.GELU))


def export(model, path, **options):
    names, batch = ["state", "mean", "log_std"], {0: "batch"}
    torch.onnx.export(model, STATES, path, input_names=names[:1], output_names=names[1:],
                      dynamic_axes={name: batch for name in names}, dynamo=False, **options)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {"action_low": "-1", "action_high": "1"})
    onnx.save(model, path)


gelu = actor(tiny, nn.GELU)
for name, options in [("gelu.onnx", {}), ("gelu_opset17.onnx", {"opset_version": 17})]:
    good(name, gelu, model=lambda _: gelu, save=export, load=lambda _: gelu, **options)
args = argparse.Namespace(state_dim=3, action_dim=1, action_low=-2.0, action_high=2.0, activation="relu")
good("namespace_config.pt", {"actor_state_dict": sd, "args": args}, inside("actor_state_dict"), scale=2)

# --- Normalisation ---


class RunningMeanStd:
    def __init__(self, mean, var, count):
        self.mean, self.var, self.count = mean, var, count


def normalising(mean, var, epsilon=0.0, clip=float("inf")):
    """inside("actor"), of states normalised in this way."""
    def model(loaded):
        m, v = (torch.as_tensor(f(loaded), dtype=torch.float32) for f in (mean, var))
        return lambda state: inside("actor")(loaded)(((state - m) / torch.sqrt(v + epsilon)).clamp(-clip, clip))
    return model


# The second feature's variance is so small that it is clipped.
obs_mean, obs_var = [0.1, -0.2, 0.05], [0.5, 0.01, 2.0]
good("normalised.pt",
     {"actor": sd, "obs_mean": torch.tensor(obs_mean), "obs_var": torch.tensor(obs_var), "clip_obs": 5.0},
     normalising(lambda c: c["obs_mean"], lambda c: c["obs_var"], 1e-8, 5.0))
good("normalised_rms.pt", {"actor": sd, "obs_rms": RunningMeanStd(np.array(obs_mean), np.array(obs_var), 1000.0001),
                           "clip_obs": 10.0, "epsilon": 1e-8},
     normalising(lambda c: c["obs_rms"].mean, lambda c: c["obs_rms"].var, 1e-8, 10.0))
good("normalised_numpy.pt", {"actor": sd, "config": {"obs_mean": np.array(obs_mean),
                                                     "obs_std": np.sqrt(np.array(obs_var, np.float32))}},
     normalising(lambda c: c["config"]["obs_mean"], lambda c: c["config"]["obs_std"] ** 2))

# --- Other trainers' layouts ---

action_scale = {"action_scale": torch.tensor([2.0]), "action_bias": torch.tensor([0.0])}


def pranz24(loaded):
    names = {"linear1": "net.0", "linear2": "net.2", "mean_linear": "mean", "log_std_linear": "log_std"}
    return actor({f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v
                  for k, v in loaded["policy_state_dict"].items() if "linear" in k})


layers = [*mlp(4, 8, 8, 1)[::2], *mlp(4, 8, 8, 1, seed=2)[::2]]
twin = {f"linear{i}.{p}": v for i, layer in enumerate(layers, 1) for p, v in layer.state_dict().items()}
policy = rename(sd, net_0="linear1", net_2="linear2", mean="mean_linear", log_std="log_std_linear")
good("mean_linear.pt", {"policy_state_dict": OrderedDict(**policy, **action_scale), "critic_state_dict": twin,
                        "critic_target_state_dict": twin, "critic_optimizer_state_dict": adam(critic)},
     pranz24, scale=2)


def cleanrl(loaded):
    names = {"fc1": "net.0", "fc2": "net.2", "fc_mean": "mean", "fc_logstd": "log_std"}
    policy = actor({f"{names[k.split('.')[0]]}.{k.split('.')[1]}": v for k, v in loaded[0].items() if "fc" in k})
    def model(state):
        hidden = policy.net(state)
        return policy.mean(hidden), -5 + 0.5 * (2 - -5) * (torch.tanh(policy.log_std(hidden)) + 1)
    return model


def q(seed):
    layers = mlp(4, 8, 8, 1, seed=seed).state_dict()
    return OrderedDict((f"fc{int(k[0]) // 2 + 1}{k[1:]}", v) for k, v in layers.items())


policy = rename(sd, net_0="fc1", net_2="fc2", mean="fc_mean", log_std="fc_logstd")
good("cleanrl_tuple.pt", (OrderedDict(**policy, **action_scale), q(1), q(2)), cleanrl, scale=2)


class ScaledStates(nn.Module):
    """CleanRL's actor, edited: the names of the layers do not show what `forward` does with a state."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(3, 8), nn.Linear(8, 8)
        self.fc_mean, self.fc_logstd = nn.Linear(8, 1), nn.Linear(8, 1)
        for name, value in action_scale.items():
            self.register_buffer(name, value)

    def forward(self, state):
        hidden = torch.relu(self.fc2(torch.relu(self.fc1(state / 10))))
        return self.fc_mean(hidden), self.fc_logstd(hidden)


torch.manual_seed(0)
refused("cleanrl_edited.pt", "a class of one's own with CleanRL's names", ScaledStates())


class GaussianPolicy(nn.Module):
    """The actor of pytorch-soft-actor-critic."""

    def __init__(self):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(3, 8), nn.Linear(8, 8)
        self.mean_linear, self.log_std_linear = nn.Linear(8, 1), nn.Linear(8, 1)


class Negated(nn.Module):
    def __init__(self):
        super().__init__()
        self.policy = GaussianPolicy()

    def forward(self, state):
        return -self.policy(state)


def negate(module, inputs, output):
    return -output


torch.manual_seed(0)
refused("wrapped_actor.pt", "a class of one's own around an actor of pytorch-soft-actor-critic", Negated())
hooked = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1), nn.Tanh())
hooked.register_forward_hook(negate)
refused("hooked.pt", "a function of one's own that changes the action", hooked)


class SquashedGaussianMLPActor(nn.Module):
    def __init__(self, sd, activation, act_limit):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 64), activation(), nn.Linear(64, 64), activation())
        self.mu_layer, self.log_std_layer = nn.Linear(64, 1), nn.Linear(64, 1)
        self.act_limit = act_limit
        self.load_state_dict(rename(sd, mean="mu_layer", log_std="log_std_layer"))

    def forward(self, obs):
        hidden = self.net(obs)
        return self.mu_layer(hidden), torch.clamp(self.log_std_layer(hidden), -20, 2)


class MLPQFunction(nn.Module):
    def __init__(self, seed):
        super().__init__()
        self.q = mlp(4, 8, 8, 1, seed=seed)


class MLPActorCritic(nn.Module):
    def __init__(self, *actor):
        super().__init__()
        self.pi = SquashedGaussianMLPActor(*actor)
        self.q1, self.q2 = MLPQFunction(1), MLPQFunction(2)


good("spinningup_module.pt", MLPActorCritic(sd, nn.ReLU, 2.0), lambda ac: ac.pi, scale=2)
# Spinning Up takes the limit from the action space, as a NumPy scalar.
good("spinningup_tanh_module.pt", MLPActorCritic(sd, nn.Tanh, np.float32(2.0)), lambda ac: ac.pi, scale=2)
good("module_sequential.pt", actor(sd), lambda module: module)
good("torchscript.pt", torch.jit.script(actor(sd)), lambda module: module, save=torch.jit.save, load=torch.jit.load)

# --- Stable-Baselines3 ---


class Toy(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-10, 10, (3,), np.float32)
    action_space = gymnasium.spaces.Box(np.array([-1, 0], np.float32), np.array([1, 3], np.float32))

    def observe(self):
        return self.np_random.normal([1, -2, 0.5], [2, 0.5, 1]).astype(np.float32)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        return self.observe(), float(action[0]), False, False, {}


def undated(path):
    """The zip without today's date and the memory addresses that Stable-Baselines3 writes."""
    with zipfile.ZipFile(path) as z:
        entries = [(name, z.read(name)) for name in z.namelist()]
    with zipfile.ZipFile(path, "w") as z:
        for name, content in entries:
            if name == "data":
                content = re.sub(rb"0x[0-9a-f]+", b"0x0", content)
            z.writestr(zipfile.ZipInfo(name), content)


def sb3(name, kind=SAC, env=None, **policy_kwargs):
    more = {"n_steps": 8, "batch_size": 8} if kind is PPO else {"buffer_size": 10}
    if kind is SAC:
        more["use_sde"] = policy_kwargs.pop("use_sde", False)
    model = kind("MlpPolicy", env or Toy(), policy_kwargs=policy_kwargs, seed=1, device="cpu", **more)
    model.save(HERE / name)
    undated(HERE / name)
    return kind.load(HERE / name, device="cpu")


def good_sb3(name, normalise=lambda states: states, **options):
    model = sb3(name, **options)
    states = normalise(STATES.numpy())
    with torch.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(torch.as_tensor(states))
    expect(name, mean, log_std, torch.as_tensor(model.predict(states, deterministic=True)[0]))


good_sb3("sb3_tanh.zip", net_arch=[16, 16], activation_fn=nn.Tanh)
good_sb3("sb3_dict_arch.zip", net_arch=dict(pi=[8, 4], qf=[8]))

venv = VecNormalize(DummyVecEnv([Toy]), norm_obs=True, clip_obs=5.0)
venv.seed(1)
venv.action_space.seed(1)
venv.reset()
for _ in range(50):
    venv.step([venv.action_space.sample()])
venv.save(HERE / "sb3_vecnormalize.zip.vecnormalize.pkl")
loaded = VecNormalize.load(HERE / "sb3_vecnormalize.zip.vecnormalize.pkl", DummyVecEnv([Toy]))
good_sb3("sb3_vecnormalize.zip", loaded.normalize_obs, env=venv, net_arch=[8, 8])

sb3("sb3_gsde.zip", use_sde=True, net_arch=[8, 8])
sb3("sb3_ppo.zip", PPO, net_arch=[8, 8])
sb3("sb3_td3.zip", TD3, net_arch=[8, 8])
refused("sb3_ppo.zip", "PPO, not SAC")

# --- Refused: no policy, or not one policy ---

refused("unknown.pt", "no known layout", OrderedDict({
    "encoder.blocks.0.attn.qkv.weight": torch.ones(24, 8), "encoder.blocks.0.attn.qkv.bias": torch.ones(24),
    "encoder.blocks.0.mlp.fc1.weight": torch.ones(16, 8), "encoder.blocks.0.mlp.fc1.bias": torch.ones(16)}))
refused("critic_only.pt", "only a critic", {"critic": {f"q{i}.{k}": v for i in (1, 2) for k, v in critic.items()},
                                            "optimizer": adam(critic)})
refused("two_actors.pt", "two policies, agent_a and agent_b",
        {"agent_a": small(3, 8, seed=1), "agent_b": small(3, 8, seed=2)})
refused("wrong_dims.pt", "net.2 takes 32 inputs but net.0 gives 64",
        OrderedDict(small(3, 64, 8), **{"net.2.weight": torch.zeros(8, 32)}))
refused("head_dims.pt", "mean has 1 output, log_std 2", OrderedDict(
    tiny, **{"log_std.weight": torch.zeros(2, 8), "log_std.bias": torch.zeros(2)}))
refused("wrong_config.pt", "the config says state_dim 4, the weights 3",
        {"actor": tiny, "config": {"state_dim": 4, "action_dim": 1}})
refused("nan.pt", "NaN weights", OrderedDict(tiny, **{"net.2.weight": tiny["net.2.weight"] / 0 * 0}))
refused("int_weights.pt", "int64 weights", OrderedDict((k, (9 * v).long()) for k, v in tiny.items()))

# --- Refused: hostile or broken ---

COMMAND = "touch /tmp/sac-serving-was-here"


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


system = Evil(os.system, (COMMAND,))
refused("executes.pt", "calls os.system", system)
refused("executes_legacy.pt", "calls os.system", system, _use_new_zipfile_serialization=False)
refused("executes_builtin.pt", "calls eval", Evil(eval, (f"__import__('os').system('{COMMAND}')",)))
served("executes_nested.pt",
        {"actor": tiny, "config": {"action_low": [-2.0], "action_high": [2.0], "callback": system}})


def torch_zip(name, pickled, storages=(), byteorder=b"little", deflate=False):
    """What torch.save writes, entry by entry."""
    path, stem = HERE / name, name.split(".")[0]
    entries = {"data.pkl": pickled, "byteorder": byteorder, "version": b"3\n",
               **{f"data/{i}": s for i, s in enumerate(storages)}}
    with zipfile.ZipFile(path, "w") as z:
        for entry, content in entries.items():
            z.writestr(zipfile.ZipInfo(f"{stem}/{entry}"), content, zipfile.ZIP_DEFLATED if deflate else None, 9)


class Storage(tuple):
    """A reference to a storage: key, number of elements."""


class Pickler(pickle.Pickler):
    def persistent_id(self, o):
        return ("storage", torch.FloatStorage, o[0], "cpu", o[1]) if isinstance(o, Storage) else None


def by_hand(name, base=tiny, **claims):
    """A state_dict in a zip by hand, but with other claims about where net.2.weight's elements are."""
    content, storages = OrderedDict(), []
    for i, (key, value) in enumerate(base.items()):
        claim = {"offset": 0, "shape": tuple(value.shape), "stride": value.stride(), "size": value.numel(),
                 "bytes": value.numpy().tobytes(), **(claims if key == "net.2.weight" else {})}
        content[key] = Evil(torch._utils._rebuild_tensor_v2, (
            Storage((str(i), claim["size"])), claim["offset"], claim["shape"], claim["stride"], False, OrderedDict()))
        storages.append(claim["bytes"])
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(content)
    torch_zip(name, out.getvalue(), storages, deflate=len(storages[2]) > 10**6)


by_hand("by_hand.pt")  # To see that only the claims below are wrong.
assert all(torch.equal(v, tiny[k]) for k, v in torch.load(HERE / "by_hand.pt").items())
(HERE / "by_hand.pt").unlink()
by_hand("negative_stride.pt", offset=56, stride=(-8, 1))
by_hand("overlapping.pt", sd, shape=(64, 64), stride=(0, 0), size=1, bytes=bytes(4))
by_hand("absurd_shape.pt", shape=(2**40, 2**20), stride=(2**20, 1))
by_hand("out_of_storage.pt", offset=60)
by_hand("bomb.pt", size=2**26, bytes=bytes(2**28))
refused("negative_stride.pt", "net.2.weight has a negative stride")
refused("overlapping.pt", "net.2.weight claims [64, 64] of a storage of one element")
refused("absurd_shape.pt", "net.2.weight claims 2^60 elements")
refused("out_of_storage.pt", "net.2.weight begins 4 elements before its storage's end")
refused("bomb.pt", "a storage that inflates to 256 MiB")

with zipfile.ZipFile(HERE / "bomb.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
    with zipfile.ZipFile(HERE / "sb3_dict_arch.zip") as real:
        z.writestr(zipfile.ZipInfo("data"), real.read("data"), zipfile.ZIP_DEFLATED)
    z.writestr(zipfile.ZipInfo("policy.pth"), bytes(2**28), zipfile.ZIP_DEFLATED)
refused("bomb.zip", "Stable-Baselines3's layout; policy.pth inflates to 256 MiB")
torch_zip("bomb_pickle.pt", b"\x80\x02" + b"N0" * 2**26 + b"N.", deflate=True)  # None, pop, None, pop, ...
refused("bomb_pickle.pt", "data.pkl inflates to 128 MiB")
torch_zip("deep_nesting.pt", b"\x80\x02)" + b"\x85" * 10**6 + b".", deflate=True)
refused("deep_nesting.pt", "a million nested tuples")
laughs = ["ha"] * 10
for _ in range(11):
    laughs = [laughs] * 10
refused("billion_laughs.pt", "10^12 items when shared lists are walked", {"actor": tiny, "config": {"laughs": laughs}})

with zipfile.ZipFile(BASE) as z:
    read = lambda entry: z.read(f"{BASE.stem}/{entry}")
    swapped = [np.frombuffer(read(f"data/{i}"), "<f4").astype(">f4").tobytes() for i in range(len(sd))]
    torch_zip("big_endian.pt", read("data.pkl"), swapped, b"big")
    assert all(torch.equal(v, sd[k]) for k, v in torch.load(HERE / "big_endian.pt").items())
    flipped = bytearray(BASE.read_bytes())
    at = flipped.index(read("data/2"))
    flipped[at + 8192] ^= 0x10
    (HERE / "flipped.pt").write_bytes(flipped)
refused("big_endian.pt", "big-endian numbers")
refused("flipped.pt", "data/2 does not match its checksum")
(HERE / "plain.pkl").write_bytes(pickle.dumps({"weights": [[0.1, 0.2], [0.3, 0.4]], "bias": [0.5, 0.6]}, 4))
refused("plain.pkl", "an ordinary pickle, without tensors")

# --- What must not be passed over ---

three = small(3, 8, 8)
tanh = actor(three, nn.Tanh)
good("torchscript_tanh.pt", torch.jit.script(tanh), lambda module: module, save=torch.jit.save, load=torch.jit.load)
leaky = Actor([3, 8], activation=lambda: nn.LeakyReLU(0.2))
refused("leaky_module.pt", "a LeakyReLU of another slope than 0.01", leaky)
plain_norm = Actor([3, 8], activation=lambda: nn.Sequential(nn.LayerNorm(8, elementwise_affine=False), nn.ReLU()))
refused("layer_norm_module.pt", "a LayerNorm without parameters", plain_norm)
refused("target_encoder.pt", "a layer of the actor by the name of a target", {"actor": {**three, "target_encoder.weight": torch.eye(3)}})
refused("encoder.pt", "an encoder before the actor", {"actor": three, "encoder": {"fc.weight": torch.eye(3)}})
refused("other_normaliser.pt", "a normalisation by an unknown name", {"actor": three, "scaler_norm": {"mean": torch.ones(3)}})
refused("half_bounds.pt", "an action_low without an action_high", {"actor": three, "config": {"action_low": [-2.0]}})
shared = torch.zeros(220, 220)
layers = {f"net.{i}.weight": shared for i in range(1, 401)}
heads = {k: torch.zeros(1, 220) for k in ("mean.weight", "log_std.weight")}
refused("one_storage.pt", "400 layers that are one tensor: 19 million numbers of 48,400", {**layers, **heads})
elsewhere = {"env": {"control": {"action_scale": 0.25}}, "encoder": {"activation": "tanh"}, "action_low": -2.0, "action_high": 2.0}
beside = {"epsilon": 0.9, "returns": np.array([]), "history": np.asfortranarray(np.ones((2, 3))), "mode": range(3)}
good("elsewhere.pt", {"actor": sd, "config": elsewhere, **beside}, inside("actor"), scale=2)
td3 = TD3("MlpPolicy", Toy(), policy_kwargs={"net_arch": [8]}, buffer_size=10, device="cpu")
served("td3_state_dict.pt", td3.policy.state_dict())


class Scaled(BaseFeaturesExtractor):
    def __init__(self, space):
        super().__init__(space, 3)

    def forward(self, x):
        return x / 10


sb3("sb3_extractor.zip", net_arch=[8], features_extractor_class=Scaled)
refused("sb3_extractor.zip", "a features extractor that is no FlattenExtractor")

HERE.joinpath("expected.json").write_text(json.dumps({**expected, "refused": refusals}, indent=1) + "\n")
