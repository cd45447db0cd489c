"""Writes the cards of the checkpoints that do not contain every fact of their policy: NAME.policy.json beside NAME.

    python make_cards.py
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
RELU, UNIT, SAC = {"activation": "relu"}, {"action_bounds": "unit"}, {"kind": "sac"}

cards = {f"{policy}.{layout}.pt": facts
         for policy in ("pendulum_00500", "pendulum_08000", "stat_pair_03000")
         for layout, facts in {"agent": RELU, "agent_class": SAC | RELU | UNIT, "state_dict": RELU | UNIT,
                               "spinningup": RELU | UNIT}.items()}
bare = ["legacy.pt", "data_parallel.pt", "compiled.pt", "bf16.pt", "f16.pt", "f64.pt", "bf16.safetensors", "flat_views.pt",
        "deep.pt", "layer_order.pt", "no_bias.pt", "normalised.pt", "normalised_rms.pt", "normalised_numpy.pt"]
cards |= {f"torch/{name}": RELU | UNIT for name in bare}
# A last layer of twice as many outputs, and a log_std without a layer, are those of other algorithms too.
cards |= {f"torch/{name}": SAC | RELU | UNIT for name in ["log_std_parameter.pt", "log_std_row.pt"]}
cards["torch/heads_2x.pt"] = SAC | RELU | UNIT | {"log_std_min": -20, "log_std_max": 2}
cards |= {f"torch/{name}": RELU for name in ["legacy_agent.pt", "elsewhere.pt"]}
cards |= {f"torch/{name}": UNIT for name in ["elu_class.pt", "silu_config.pt", "gelu_config.pt", "no_trunk.pt"]}
# The code of a class of one's own is not in the file, and the parts of a program's tuple have no names.
cards["torch/module_sequential.pt"] = SAC | UNIT
cards |= {f"torch/{name}": UNIT | {"outputs": ["mean", "log_std"]} for name in ["torchscript.pt", "torchscript_tanh.pt"]}

for name, facts in cards.items():
    assert (HERE / name).exists(), name
    (HERE / f"{name}.policy.json").write_text(json.dumps(facts) + "\n")
