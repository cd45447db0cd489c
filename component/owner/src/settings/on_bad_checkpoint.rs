//! The consequence of a refused checkpoint.

use super::named::named;

named! {
    /// Decides how the routes that need a policy answer after a checkpoint is refused.
    #[derive(Default)]
    pub enum OnBadCheckpoint {
        /// The policy in service keeps answering, and is reported as stale.
        #[default]
        Keep = "keep",
        /// The routes answer 500 until a checkpoint loads.
        Fail = "fail",
    }
}
