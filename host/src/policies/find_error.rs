//! The error of a request for which no policy is found.

use std::io;

use thiserror::Error;

use crate::work::crew::CrewError;

/// The reason for which there is no policy to ask.
#[derive(Debug, Error)]
pub(crate) enum FindError {
    #[error("there is no policy of this name")]
    None,
    #[error("the root folder cannot be read")]
    Storage(#[from] io::Error),
    #[error("the root folder does not answer")]
    Late,
    #[error(transparent)]
    Thread(#[from] CrewError),
}
