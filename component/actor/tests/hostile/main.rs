//! Small files, and bodies of requests, that are made to take memory or time without bound, or to cause a panic in this
//! crate. Each is refused, or is served, with little of both. A test of time asserts nothing else: without its bound it
//! would take minutes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod graphs;
#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../../../tests/fuzz/memory.rs"]
mod memory;
mod pickles;
mod programs;
mod requests;

use harness::{checkpoint, relu_and_unit};
use memory::peak_of;
use sac_actor::{File, OnRefusal, RouterConfig, Service};

/// More than any of these files needs by far.
const LITTLE: usize = 128 << 20;

/// Loads a file, or returns the reason for its refusal. Panics if that takes much memory.
#[track_caller]
fn load(bytes: impl Into<Vec<u8>>) -> Result<Service, String> {
    load_for(16, bytes)
}

/// The same for a service that takes batches of up to `max_batch` states.
#[track_caller]
fn load_for(max_batch: u32, bytes: impl Into<Vec<u8>>) -> Result<Service, String> {
    let (on_refusal, max_body_bytes) = (OnRefusal::Keep, 1 << 16);
    // Most of the good files lack these facts.
    let operator_facts = relu_and_unit();
    let mut service = Service::new(RouterConfig {
        name: "policy".into(),
        optimised: true,
        operator_facts,
        on_refusal,
        max_batch,
        max_body_bytes,
        splits: false,
    });
    put(&mut service, bytes.into()).map(|()| service)
}

/// Loads a file in the place of the one in service.
#[track_caller]
fn put(service: &mut Service, bytes: Vec<u8>) -> Result<(), String> {
    let length = bytes.len();
    let file = File { bytes, sidecars: vec![] };
    let (loaded, peak) = peak_of(|| service.load(checkpoint(), file, None).map(drop));
    assert!(peak < LITTLE, "{peak} bytes for a file of {length}");
    loaded.map_err(|error| format!("{error:#}"))
}

#[track_caller]
fn refused(bytes: impl Into<Vec<u8>>) -> String {
    load(bytes).err().expect("the file is refused")
}
