//! Work that may block, on threads of its own. A machine that has no thread to spare at some moment delays work or refuses
//! it, and loses none. It knows no checkpoint and no request.

pub(crate) mod crew;
pub(crate) mod lookout;
pub(crate) mod repeated;
pub(crate) mod watchdog;
