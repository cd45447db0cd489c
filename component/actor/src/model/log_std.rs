//! The rule that keeps log_std within bounds.

/// The map from the output of the log_std head to the log_std that is used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogStd {
    /// Clamps to these bounds, as Haarnoja et al. (2018), Spinning Up and Stable-Baselines3 do.
    Clamped { low: f32, high: f32 },
    /// Maps into these bounds by tanh: low + (high - low) / 2 · (tanh(x) + 1), as CleanRL and pytorch_sac do.
    Squashed { low: f32, high: f32 },
}

impl LogStd {
    /// The constants of Spinning Up and Stable-Baselines3.
    pub const DEFAULT: LogStd = LogStd::Clamped { low: -20.0, high: 2.0 };

    /// Returns the same rule with other bounds.
    pub fn within(self, low: f32, high: f32) -> Self {
        match self {
            LogStd::Clamped { .. } => LogStd::Clamped { low, high },
            LogStd::Squashed { .. } => LogStd::Squashed { low, high },
        }
    }

    /// Applies the rule. NaN stays NaN.
    pub fn apply(self, output: f32) -> f32 {
        match self {
            LogStd::Clamped { low, high } => output.clamp(low, high),
            LogStd::Squashed { low, high } => low + 0.5 * (high - low) * (output.tanh() + 1.0),
        }
    }

    /// Returns the one rule that does the same as `inner` and then `self`, or `None` if there is no such rule.
    pub fn after(self, inner: LogStd) -> Option<LogStd> {
        let LogStd::Clamped { low, high } = self else { return None };
        match inner {
            LogStd::Clamped { low: least, high: most } if least <= most => {
                Some(LogStd::Clamped { low: least.clamp(low, high), high: most.clamp(low, high) })
            }
            LogStd::Squashed { low: least, high: most } if low <= least && most <= high => Some(inner),
            _ => None,
        }
    }
}

impl std::fmt::Display for LogStd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LogStd::Clamped { low, high } => write!(f, "clamped to {low} and {high}"),
            LogStd::Squashed { low, high } => write!(f, "squashed to {low} and {high} by tanh"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LogStd;

    #[test]
    fn log_std_is_squashed_as_cleanrl_does() {
        let rule = LogStd::Squashed { low: -5.0, high: 2.0 };
        for (output, expected) in [(0.0, -1.5), (f32::INFINITY, 2.0), (f32::NEG_INFINITY, -5.0)] {
            assert_eq!(rule.apply(output), expected);
        }
    }
}
