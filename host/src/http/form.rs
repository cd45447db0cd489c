//! The form of the errors on a path.

use sac_owner::is_open_inference;

/// The form of the errors on a path.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// `{"detail": …}`.
    Detail,
    /// `{"error": …}`, which clients of the Open Inference Protocol read.
    Error,
}

impl Form {
    pub(crate) fn of(path: &str) -> Self {
        if is_open_inference(path) { Form::Error } else { Form::Detail }
    }

    pub(super) fn key(self) -> &'static str {
        match self {
            Form::Detail => "detail",
            Form::Error => "error",
        }
    }
}
