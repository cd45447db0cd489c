//! Names that the table of layouts refers to.

/// Tensors of ML-Agents' policy that do not change its actions.
pub const ML_AGENTS: [&str; 8] = [
    "version_number",
    "is_continuous_int_deprecated",
    "continuous_act_size_vector",
    "discrete_act_size_vector",
    "act_size_vector_deprecated",
    "memory_size_vector",
    "network_body.observation_encoder.processors.",
    "network_body.processors.",
];

/// Usual names of the mean's head.
pub const MEANS: &[&str] = &[
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
    "out_mu",
    "out_mean",
    "mean_action_layer",
    "action_mean",
    "action_mean_layer",
    "_mu",
    "_mean",
];

/// Usual names of log_std's head.
pub const LOG_STDS: &[&str] = &[
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
    "out_log_std",
    "out_logstd",
    "log_sigma",
    "action_log_std",
    "_log_std",
    "_logstd",
];

/// Names of heads for a standard deviation.
pub const STDS: &[&str] =
    &["std", "sigma", "scale", "std_layer", "sigma_layer", "fc_std", "fc_sigma", "std_head", "sigma_head"];
