//! A folder whose files only this user and the system's administrator can write. Each family of platforms has a file, and
//! they offer the same functions.

#[cfg(not(windows))]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(super) use unix::PrivateFolder;
#[cfg(windows)]
pub(super) use windows::PrivateFolder;
