//! The result of a forward pass.

/// The outputs of a network for a batch of states, each row-major [rows, action_dim].
#[derive(Debug, Default, PartialEq)]
pub struct Forward {
    /// The mean before squashing; the action itself if the network has no log_std.
    pub mean: Vec<f32>,
    /// The output of the log_std head, before its rule. Empty if it was not asked for, or if the network has none.
    pub log_std: Vec<f32>,
}
