//! The known layouts. A new layout is one more entry of [`LAYOUTS`], and a test file in `tests/data`.

use crate::model::LogStd;

/// The names that a trainer gives to the layers of its actor, relative to the actor.
pub struct Layout {
    pub name: &'static str,
    /// The layers of the trunk, in which `{n}` is their running number; `*` is any one series of layers.
    pub trunk: &'static str,
    pub heads: Heads,
    /// The rule for the output of the log_std head.
    pub log_std: LogStd,
}

/// The heads of an actor.
pub enum Heads {
    /// A layer for the mean, and a layer or a parameter for log_std. The first name of each that the file has counts.
    Separate { mean: &'static [&'static str], log_std: &'static [&'static str] },
    /// The last layer of the trunk is both: the mean's outputs, then log_std's.
    Joint,
}

impl Layout {
    /// Describes the layout for an error: its name, its trunk, and the first name of each head.
    pub fn describe(&self) -> String {
        match &self.heads {
            Heads::Joint => self.name.to_owned(),
            Heads::Separate { mean, log_std } => {
                format!("{} ({}, {}, {})", self.name, self.trunk.replace('*', "any{n}"), mean[0], log_std[0])
            }
        }
    }
}

/// The only layout of the models of Stable-Baselines3.
pub const STABLE_BASELINES3: &str = "stable-baselines3";

/// The layouts in the order in which they are tried.
pub const LAYOUTS: &[Layout] = &[
    Layout {
        name: "cleanrl",
        trunk: "fc{n}",
        heads: Heads::Separate { mean: &["fc_mean"], log_std: &["fc_logstd"] },
        log_std: LogStd::Squashed { low: -5.0, high: 2.0 },
    },
    Layout {
        name: "spinningup",
        trunk: "net.{n}",
        heads: Heads::Separate { mean: &["mu_layer"], log_std: &["log_std_layer"] },
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: STABLE_BASELINES3,
        trunk: "latent_pi.{n}",
        heads: Heads::Separate { mean: &["mu"], log_std: &["log_std"] },
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: "pytorch-soft-actor-critic",
        trunk: "linear{n}",
        heads: Heads::Separate { mean: &["mean_linear"], log_std: &["log_std_linear"] },
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: "tianshou",
        trunk: "preprocess.model.model.{n}",
        heads: Heads::Separate { mean: &["mu.model.0"], log_std: &["sigma.model.0"] },
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: "rlkit",
        trunk: "fc{n}",
        heads: Heads::Separate { mean: &["last_fc"], log_std: &["last_fc_log_std"] },
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: "trunk and two heads",
        trunk: "*",
        heads: Heads::Separate {
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
        log_std: LogStd::DEFAULT,
    },
    Layout {
        name: "pytorch_sac",
        trunk: "trunk.{n}",
        heads: Heads::Joint,
        log_std: LogStd::Squashed { low: -5.0, high: 2.0 },
    },
    Layout { name: "trunk and one joint head", trunk: "*", heads: Heads::Joint, log_std: LogStd::DEFAULT },
];
