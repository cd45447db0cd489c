//! Shared by the integration tests: the servers that they test, and a client that asks them from the same runtime. What
//! needs no server is in `sac-test-support`, and is exported again here.

mod client;
mod composed;
mod manifest;
mod runtime;
mod server;

pub use client::Client;
pub use composed::compose;
pub use manifest::{ACTOR, Manifest, build_components};
pub use runtime::is_spin;
pub use sac_test_support::*;
pub use server::{Owner, RootSettings, Server, Settings, cache_dir, patient_http, patient_sandbox};

/// Makes five tests of an `async fn name(owner: Owner)`: those of [`both_owners`]; `host_on_a_unix_socket`; and
/// `host_with_a_root` and `composed_with_a_root`, in which the policy is one of a root and clients know nothing of it but another
/// base URL.
#[macro_export]
macro_rules! every_owner {
    ($name:ident) => {
        $crate::owner_tests!(
            $name,
            host: Host,
            composed: Composed,
            host_on_a_unix_socket: HostOnUnixSocket,
            host_with_a_root: HostWithRoot,
            composed_with_a_root: ComposedWithRoot
        );
    };
}

/// Makes two tests of an `async fn name(owner: Owner)`: `name::host` and `name::composed`.
#[macro_export]
macro_rules! both_owners {
    ($name:ident) => {
        $crate::owner_tests!($name, host: Host, composed: Composed);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! owner_tests {
    ($name:ident, $($test:ident: $owner:ident),+) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() {
                    super::$name($crate::Owner::$owner).await;
                }
            )+
        }
    };
}
