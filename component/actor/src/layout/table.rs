//! The known layouts. A new layout is one more entry of [`LAYOUTS`], and a real file in `tests/data/corpus`.

use super::names::{LOG_STDS, MEANS, ML_AGENTS, STDS};
use crate::model::{Activation, LogStd, Squash};

/// The names that a trainer gives to the layers of its actor, relative to the actor, and what its code leaves no choice
/// about.
pub struct Layout {
    pub name: &'static str,
    /// The hidden layers as series of names in the order of computation; `{n}` is their running number. Empty for any
    /// series. The last layer of the last series is the head unless `heads` names one.
    pub trunk: &'static [&'static str],
    /// True if the actor has no hidden layers.
    pub is_linear: bool,
    pub heads: Heads,
    /// Names that must be there, for layouts whose layers alone do not tell them from others.
    pub evidence: &'static [&'static str],
    /// Names of values that the file must have beside the actor.
    pub file_evidence: &'static [&'static str],
    /// Names beside the layers that another network of the library has, and this one has not.
    pub without: &'static [&'static str],
    /// Prefixes of tensors of the actor that do not change its actions.
    pub ignored: &'static [&'static str],
    /// True if the layout is only that of a file's outermost names.
    pub at_root: bool,
    /// The end of the prefix under which the layers must be.
    pub under: &'static str,
    /// The activation that the library's code fixes. None if its users configure it.
    pub activation: Option<Activation>,
    /// The squash that the library's code fixes.
    pub squash: Option<Squash>,
    /// True if the library's own actions stay within -1 and 1. False if they are scaled, so that a file must say how.
    pub is_unit: bool,
    /// Names the normalisation that the library applies by default, if this file does not hold its statistics.
    pub normalised: Option<&'static str>,
    /// The rule for the output of the log_std head. None if it is not known, so that actions cannot be sampled.
    pub log_std: Option<LogStd>,
}

/// The heads of an actor.
pub enum Heads {
    /// A layer for the mean, and a layer or a parameter for log_std. The first name of each that the file has counts.
    Pair { mean: &'static [&'static str], log_std: &'static [&'static str] },
    /// A layer for the mean, and none for log_std.
    Mean(&'static [&'static str]),
    /// The last layer gives the mean and then the log_std.
    Joint,
    /// The last layer gives the mean.
    Last,
    /// The last layer gives the mean, or the mean and then the log_std: the names do not tell.
    Open,
}

/// The layout of SAC's and TQC's actors in Stable-Baselines3.
pub const STABLE_BASELINES3: &str = "stable-baselines3";
/// The same with generalised state-dependent exploration.
pub const STABLE_BASELINES3_SDE: &str = "stable-baselines3 (gSDE)";
/// The layout of TD3's and DDPG's actors in Stable-Baselines3.
pub const STABLE_BASELINES3_TD3: &str = "stable-baselines3 (TD3)";
/// The layouts of Stable-Baselines3.
pub const OF_STABLE_BASELINES3: [&str; 3] = [STABLE_BASELINES3, STABLE_BASELINES3_SDE, STABLE_BASELINES3_TD3];
/// The layout of tianshou's stochastic actor.
pub const TIANSHOU: &str = "tianshou";

/// The layout of an actor of SAC that belongs to no library.
pub const TWO_HEADS: &str = "trunk and two heads";

/// A layout without conventions, which the entries of the table complete.
const BARE: Layout = Layout {
    name: "",
    trunk: &[],
    is_linear: false,
    heads: Heads::Open,
    evidence: &[],
    file_evidence: &[],
    without: &[],
    ignored: &[],
    at_root: false,
    under: "",
    activation: None,
    squash: None,
    is_unit: false,
    normalised: None,
    log_std: None,
};

/// A layout of SAC: the action is tanh of the mean.
const SAC: Layout = Layout { squash: Some(Squash::Tanh), log_std: Some(LogStd::DEFAULT), ..BARE };

/// A layout of TD3 or DDPG: the action is tanh of the last layer.
const TD3: Layout = Layout { heads: Heads::Last, squash: Some(Squash::Tanh), ..BARE };

/// A layout of PPO: the mean is the action.
const GAUSSIAN: Layout = Layout { heads: Heads::Last, squash: Some(Squash::None), ..BARE };

const RELU: Option<Activation> = Some(Activation::Relu);
const MINUS_5_TO_2: Option<LogStd> = Some(LogStd::Squashed { low: -5.0, high: 2.0 });

/// The layouts in the order in which they are tried.
pub const LAYOUTS: &[Layout] = &[
    // cleanrl/sac_continuous_action.py: F.relu in `forward`; the bounds are buffers.
    Layout {
        name: "cleanrl",
        trunk: &["fc{n}"],
        heads: Heads::Pair { mean: &["fc_mean"], log_std: &["fc_logstd"] },
        evidence: &["action_scale"],
        activation: RELU,
        log_std: MINUS_5_TO_2,
        ..SAC
    },
    // The same before the bounds became buffers. Its oldest version clamps log_std.
    Layout {
        name: "cleanrl (before action_scale)",
        trunk: &["fc{n}"],
        heads: Heads::Pair { mean: &["fc_mean"], log_std: &["fc_logstd"] },
        activation: RELU,
        log_std: None,
        ..SAC
    },
    // cleanrl/td3_continuous_action.py and ddpg_continuous_action.py.
    Layout {
        name: "cleanrl (TD3)",
        trunk: &["fc{n}"],
        heads: Heads::Mean(&["fc_mu"]),
        evidence: &["action_scale"],
        activation: RELU,
        ..TD3
    },
    // cleanrl/ppo_continuous_action.py and rpo_continuous_action.py: nn.Tanh. The environment is wrapped in
    // NormalizeObservation, a clip and ClipAction; only the script for Isaac Gym has no statistics.
    Layout {
        name: "cleanrl (PPO)",
        trunk: &["actor_mean.{n}"],
        evidence: &["actor_logstd"],
        ignored: &["actor_logstd"],
        activation: Some(Activation::Tanh),
        normalised: Some(
            "CleanRL's scripts wrap the environment in NormalizeObservation, clip to ±10, and save no statistics",
        ),
        ..GAUSSIAN
    },
    // spinup/algos/pytorch/sac/core.py: `activation` is an argument, act_limit a plain attribute.
    Layout {
        name: "spinningup",
        trunk: &["net.{n}"],
        heads: Heads::Pair { mean: &["mu_layer"], log_std: &["log_std_layer"] },
        ..SAC
    },
    // spinup/algos/pytorch/td3/core.py.
    Layout { name: "spinningup (TD3)", trunk: &["pi.{n}"], under: "pi.", ..TD3 },
    // stable_baselines3/sac/policies.py.
    Layout {
        name: STABLE_BASELINES3,
        trunk: &["latent_pi.{n}"],
        heads: Heads::Pair { mean: &["mu"], log_std: &["log_std"] },
        ..SAC
    },
    // The same with use_sde: `mu` ends in a Hardtanh, and log_std is a matrix of the exploration.
    Layout {
        name: STABLE_BASELINES3_SDE,
        trunk: &["latent_pi.{n}"],
        heads: Heads::Mean(&["mu.0", "mu"]),
        evidence: &["log_std"],
        ignored: &["log_std"],
        log_std: None,
        ..SAC
    },
    // Both with `net_arch=[]`.
    Layout {
        name: STABLE_BASELINES3,
        is_linear: true,
        heads: Heads::Pair { mean: &["mu"], log_std: &["log_std"] },
        file_evidence: &["policy_class"],
        ..SAC
    },
    Layout {
        name: STABLE_BASELINES3_SDE,
        is_linear: true,
        heads: Heads::Mean(&["mu.0", "mu"]),
        evidence: &["log_std"],
        file_evidence: &["policy_class"],
        ignored: &["log_std"],
        log_std: None,
        ..SAC
    },
    // stable_baselines3/td3/policies.py.
    Layout { name: STABLE_BASELINES3_TD3, trunk: &["mu.{n}"], ..TD3 },
    // pranz24/pytorch-soft-actor-critic, model.py: F.relu in `forward`; the bounds are plain attributes.
    Layout {
        name: "pytorch-soft-actor-critic",
        trunk: &["linear{n}"],
        heads: Heads::Pair { mean: &["mean_linear"], log_std: &["log_std_linear"] },
        activation: RELU,
        ..SAC
    },
    Layout {
        name: "pytorch-soft-actor-critic (deterministic)",
        trunk: &["linear{n}"],
        heads: Heads::Mean(&["mean"]),
        activation: RELU,
        ..TD3
    },
    // tianshou/utils/net/continuous.py.
    Layout {
        name: TIANSHOU,
        trunk: &["preprocess.model.model.{n}"],
        heads: Heads::Pair { mean: &["mu.model.0"], log_std: &["sigma.model.0"] },
        squash: None,
        ..SAC
    },
    // rlkit/torch/sac/policies: NormalizedBoxEnv scales outside of the policy.
    Layout {
        name: "rlkit",
        trunk: &["fc{n}"],
        heads: Heads::Pair { mean: &["last_fc"], log_std: &["last_fc_log_std"] },
        is_unit: true,
        ..SAC
    },
    // sheeprl/algos/sac/agent.py: nn.ReLU; the bounds are buffers.
    Layout {
        name: "sheeprl",
        trunk: &["model._model.{n}"],
        heads: Heads::Pair { mean: &["fc_mean"], log_std: &["fc_logstd"] },
        activation: RELU,
        log_std: MINUS_5_TO_2,
        ..SAC
    },
    // elegantrl/agents/net.py: nn.ReLU in build_mlp; environments take actions within -1 and 1.
    Layout {
        name: "elegantrl",
        trunk: &["net_s.{n}", "net_a.{n}"],
        heads: Heads::Joint,
        activation: RELU,
        is_unit: true,
        log_std: Some(LogStd::Clamped { low: -16.0, high: 2.0 }),
        ..SAC
    },
    Layout {
        name: "elegantrl (TD3)",
        trunk: &["net.{n}"],
        evidence: &["state_avg", "state_std"],
        // The networks of its DQN.
        without: &["value_avg", "value_std"],
        activation: RELU,
        is_unit: true,
        ..TD3
    },
    // xuance/torch/policies/gaussian.py: its environments scale actions from -1 to 1.
    Layout {
        name: "xuance",
        trunk: &["actor_representation.model.{n}", "actor.output.{n}"],
        heads: Heads::Pair { mean: &["actor.out_mu"], log_std: &["actor.out_log_std"] },
        is_unit: true,
        ..SAC
    },
    Layout {
        name: "xuance",
        trunk: &["actor.output.{n}"],
        heads: Heads::Pair { mean: &["actor.out_mu"], log_std: &["actor.out_log_std"] },
        is_unit: true,
        ..SAC
    },
    // omnisafe/models/actor/gaussian_sac_actor.py: its ActionScale wrapper scales from -1 to 1.
    Layout {
        name: "omnisafe",
        trunk: &["net.{n}"],
        heads: Heads::Joint,
        evidence: &["_log2"],
        ignored: &["_log2"],
        is_unit: true,
        ..SAC
    },
    // garage/torch/modules/gaussian_mlp_module.py: log_std is bounded by parameters.
    Layout {
        name: "garage",
        trunk: &["_shared_mean_log_std_network._layers.{n}.linear"],
        heads: Heads::Pair {
            mean: &["_shared_mean_log_std_network._output_layers.0.linear"],
            log_std: &["_shared_mean_log_std_network._output_layers.1.linear"],
        },
        ignored: &["_init_std", "min_std_param", "max_std_param"],
        log_std: None,
        ..SAC
    },
    // d3rlpy/models/torch/policies.py.
    Layout {
        name: "d3rlpy",
        trunk: &["_encoder._layers.{n}"],
        heads: Heads::Pair { mean: &["_mu"], log_std: &["_logstd"] },
        ..SAC
    },
    Layout { name: "d3rlpy (TD3)", trunk: &["_encoder._layers.{n}"], heads: Heads::Mean(&["_fc"]), ..TD3 },
    // CORL/algorithms, cql.py and cal_ql.py: nn.ReLU; max_action is a plain attribute; log_std is scaled and shifted by
    // parameters; `normalize` is on unless a config turns it off.
    Layout {
        name: "corl",
        trunk: &["base_network.{n}"],
        heads: Heads::Joint,
        ignored: &["log_std_multiplier.", "log_std_offset."],
        activation: RELU,
        normalised: Some("CORL normalises states by its dataset unless `normalize` is off, and saves no statistics"),
        log_std: None,
        ..SAC
    },
    // mlagents/trainers/torch_entities: Swish in LinearEncoder; actions stay within -1 and 1.
    Layout {
        name: "ml-agents",
        trunk: &["network_body._body_endoder.seq_layers.{n}"],
        heads: Heads::Pair {
            mean: &["action_model._continuous_distribution.mu"],
            log_std: &["action_model._continuous_distribution.log_sigma"],
        },
        ignored: &ML_AGENTS,
        activation: Some(Activation::Silu),
        is_unit: true,
        ..SAC
    },
    // ray/rllib/algorithms/sac/torch: a Gaussian without a squash; the runner clips and scales its actions.
    Layout {
        name: "rllib",
        trunk: &["pi_encoder.net.mlp.{n}", "pi.net.mlp.{n}"],
        heads: Heads::Joint,
        ignored: &["pi.log_std_clip_param_const"],
        squash: Some(Squash::Clamp),
        ..SAC
    },
    // ray/rllib/algorithms/sac/sac_torch_model.py, the old API stack: SquashedGaussian.
    Layout {
        name: "rllib (old API stack)",
        trunk: &["_hidden_layers.{n}._model.0", "_logits._model.{n}"],
        heads: Heads::Joint,
        ignored: &["_value_branch.", "_features", "_last_output", "_last_flat_in", "obs_space.", "view_requirements."],
        ..SAC
    },
    // mushroom_rl/algorithms/actor_critic/deep_actor_critic/sac.py: a network for the mean and one for log_std, each
    // with what its user writes between the layers.
    Layout {
        name: "mushroom-rl",
        under: "_mu_approximator._impl.model.network.",
        heads: Heads::Last,
        log_std: None,
        ..SAC
    },
    // denisyarats/pytorch_sac, agent/actor.py: nn.ReLU in utils.mlp; the environments are those of the DeepMind Control
    // Suite, whose actions lie within -1 and 1.
    Layout {
        name: "pytorch_sac",
        trunk: &["trunk.{n}"],
        heads: Heads::Joint,
        at_root: true,
        activation: RELU,
        is_unit: true,
        log_std: MINUS_5_TO_2,
        ..SAC
    },
    // rl_games/algos_torch/network_builder.py: the same names, with an activation from the config.
    Layout { name: "rl_games", trunk: &["trunk.{n}"], heads: Heads::Joint, log_std: MINUS_5_TO_2, ..SAC },
    // rsl_rl/modules: ActorCritic until version 3, and MLPModel since.
    Layout {
        name: "rsl_rl",
        trunk: &["actor.{n}"],
        evidence: &["std"],
        file_evidence: &["iter"],
        ignored: &["std"],
        ..GAUSSIAN
    },
    Layout {
        name: "rsl_rl",
        trunk: &["mlp.{n}"],
        evidence: &["distribution.std_param"],
        file_evidence: &["iter"],
        ignored: &["distribution."],
        ..GAUSSIAN
    },
    // Any other network whose heads have usual names.
    Layout { name: TWO_HEADS, heads: Heads::Pair { mean: MEANS, log_std: LOG_STDS }, ..SAC },
    // Sampling takes a rule for these that no name tells.
    Layout { name: TWO_HEADS, heads: Heads::Pair { mean: MEANS, log_std: STDS }, log_std: None, ..SAC },
    Layout { name: "trunk and a mean", heads: Heads::Mean(MEANS), ..BARE },
    Layout { name: "layers in a row", ..BARE },
];
