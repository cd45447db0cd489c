//! Shared by the integration tests: the servers that they test, and a client that asks them from the same runtime. What
//! needs no server is in `sac-test-support`, and is exported again here.

mod client;
mod composed;
mod manifest;
mod server;

pub use client::Client;
pub use manifest::{Manifest, build_components};
pub use sac_test_support::*;
pub use server::{Owner, Server, Settings, cache_dir, patient_http, patient_sandbox};

/// Makes two tests of an `async fn name(owner: Owner)`: `name::host` and `name::composed`.
#[macro_export]
macro_rules! both_owners {
    ($name:ident) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread")]
            async fn host() {
                super::$name($crate::Owner::Host).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn composed() {
                super::$name($crate::Owner::Composed).await;
            }
        }
    };
}
