//! The layouts that are known. A new one is one more entry.

/// How a trainer names the parts of its actor, relative to the actor itself.
pub struct Layout {
    pub name: &'static str,
    /// The layers of the trunk, `{n}` standing for their running number; `*` for any one series of layers.
    pub trunk: &'static str,
    pub heads: Heads,
    /// What becomes of the log_std head's output.
    pub log_std: LogStd,
}

pub enum Heads {
    /// The layer of the mean, and the layer or the parameter of log_std: the first of each that is there.
    Named { mean: &'static [&'static str], log_std: &'static [&'static str] },
    /// The last layer of the trunk gives both, the mean first.
    Joint,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogStd {
    /// Clamped to these bounds (Haarnoja et al., 2018; Spinning Up's and Stable-Baselines3's constants).
    Clamped { low: f32, high: f32 },
    /// Mapped into these bounds by tanh: low + (high - low) / 2 · (tanh(x) + 1), as CleanRL does.
    Squashed { low: f32, high: f32 },
}

impl LogStd {
    pub const USUAL: LogStd = LogStd::Clamped { low: -20.0, high: 2.0 };
}

/// Also the name of the format that has no other layout.
pub const STABLE_BASELINES: &str = "stable-baselines3";

pub const LAYOUTS: &[Layout] = &[
    Layout {
        name: "cleanrl",
        trunk: "fc{n}",
        heads: Heads::Named { mean: &["fc_mean"], log_std: &["fc_logstd"] },
        log_std: LogStd::Squashed { low: -5.0, high: 2.0 },
    },
    Layout {
        name: "spinningup",
        trunk: "net.{n}",
        heads: Heads::Named { mean: &["mu_layer"], log_std: &["log_std_layer"] },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: STABLE_BASELINES,
        trunk: "latent_pi.{n}",
        heads: Heads::Named { mean: &["mu"], log_std: &["log_std"] },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: "pytorch-soft-actor-critic",
        trunk: "linear{n}",
        heads: Heads::Named { mean: &["mean_linear"], log_std: &["log_std_linear"] },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: "tianshou",
        trunk: "preprocess.model.model.{n}",
        heads: Heads::Named { mean: &["mu.model.0"], log_std: &["sigma.model.0"] },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: "rlkit",
        trunk: "fc{n}",
        heads: Heads::Named { mean: &["last_fc"], log_std: &["last_fc_log_std"] },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: "trunk and two heads",
        trunk: "*",
        heads: Heads::Named {
            mean: &[
                "mean",
                "mu",
                "mean_layer",
                "mu_layer",
                "fc_mean",
                "fc_mu",
                "mean_head",
                "mu_head",
                "mean_linear",
                "mu_linear",
                "mean_fc",
                "mu_fc",
                "latent_mean",
                "latent_mu",
                "mean.0",
                "mu.0",
                "loc",
            ],
            log_std: &[
                "log_std",
                "logstd",
                "log_std_layer",
                "logstd_layer",
                "fc_log_std",
                "fc_logstd",
                "log_std_head",
                "logstd_head",
                "log_std_linear",
                "logstd_linear",
                "log_std_fc",
                "logstd_fc",
                "latent_log_std",
                "latent_logstd",
                "log_std.0",
                "log_scale",
            ],
        },
        log_std: LogStd::USUAL,
    },
    Layout {
        name: "pytorch_sac",
        trunk: "trunk.{n}",
        heads: Heads::Joint,
        log_std: LogStd::Squashed { low: -5.0, high: 2.0 },
    },
    Layout { name: "trunk and one joint head", trunk: "*", heads: Heads::Joint, log_std: LogStd::USUAL },
];
