//! Notices that a file changed, and reads it whole. This module works for any file, and knows nothing of checkpoints.

mod digest;
mod file_state;
mod freshness;
mod identity;
mod read;
mod refused;
mod renewal_error;
mod seen;
mod single_file;
mod system;
mod watched;

pub(crate) use digest::{Digest, sha256};
pub use file_state::FileState;
pub use freshness::{Freshness, Judgement, Renewal};
pub use identity::{Identify, Identity, since_epoch};
pub(crate) use read::FileReader;
pub use read::{Failure, ReadError};
pub use refused::Refused;
pub use renewal_error::RenewalError;
pub(crate) use seen::Moment;
pub use seen::Seen;
pub use single_file::SingleFile;
pub use system::{FileKind, Found, may_pass, resolve};
pub(crate) use system::{is_absence, open, open_resolved, set_modified};
pub use watched::Watch;

/// The age at which a file's next write has another time. It is longer than the tick of any file system's clock, which is
/// one second on NFS.
pub(crate) const SETTLE: std::time::Duration = std::time::Duration::from_secs(2);
