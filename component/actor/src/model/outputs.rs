//! The outputs of a policy's network.

/// The outputs of a policy's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// A mean and a log_std.
    MeanAndLogStd,
    /// One output: the mean, or the action itself.
    Action,
}
