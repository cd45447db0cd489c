//! Generated from `wit/`. Parameters borrow, so that a request is copied once: into the component.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "actor",
    ownership: Borrowing { duplicate_if_necessary: true },
});

pub(crate) use exports::sac::serving::serving::*;

impl Backend {
    /// As the component's info tells it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Kernel => "kernel",
            Backend::Tract => "tract",
        }
    }
}
