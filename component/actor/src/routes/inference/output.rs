//! The outputs of the model.

use crate::run::Actor;

/// An output of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The action within its bounds. The only output unless others are asked for.
    Action,
    /// The mean before squashing; the action itself if a graph computes no more.
    Mean,
    /// The log_std that actions are sampled with: after its rule.
    LogStd,
}

impl Output {
    pub const ALL: [Output; 3] = [Output::Action, Output::Mean, Output::LogStd];

    /// The names are those of the ONNX model that a checkpoint is converted to.
    pub fn name(self) -> &'static str {
        match self {
            Output::Action => "action",
            Output::Mean => "mean",
            Output::LogStd => "log_std",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Output::ALL.into_iter().find(|output| output.name() == name)
    }

    /// Returns `true` if the policy has the output.
    pub fn is_of(self, actor: &Actor) -> bool {
        self != Output::LogStd || actor.stochastic()
    }
}
