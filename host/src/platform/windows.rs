//! Windows.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::time::Duration;

use windows_sys::Win32::Foundation::FILETIME;
use windows_sys::Win32::System::Threading::{
    GetCurrentThread, GetThreadTimes, SetThreadPriority, THREAD_PRIORITY_BELOW_NORMAL,
};

use super::path_in;

/// Returns the processor time of this thread, which Windows counts in ticks of some 16 ms.
pub(crate) fn thread_time() -> Duration {
    let none = FILETIME { dwLowDateTime: 0, dwHighDateTime: 0 };
    let [mut created, mut ended, mut kernel, mut user] = [none; 4];
    // SAFETY: the thread is this one, and the times live. If it fails, they are 0.
    unsafe { GetThreadTimes(GetCurrentThread(), &mut created, &mut ended, &mut kernel, &mut user) };
    // In steps of 100 ns.
    let steps = |time: FILETIME| u64::from(time.dwHighDateTime) << 32 | u64::from(time.dwLowDateTime);
    let steps = steps(kernel) + steps(user);
    Duration::new(steps / 10_000_000, (steps % 10_000_000) as u32 * 100)
}

pub(crate) fn lower_priority() {
    // SAFETY: the thread is this one. If this fails, the work competes on equal terms.
    unsafe { SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL) };
}

/// Windows limits the memory of a process, and not its addresses.
pub(crate) fn address_limit() -> Option<u64> {
    None
}

pub(crate) fn user_cache() -> Option<PathBuf> {
    path_in("LOCALAPPDATA")
}

/// A file has the permissions of its folder.
pub(crate) fn keep_confidential(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
