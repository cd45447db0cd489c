//! The program, run as a process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod activation;
mod browser;
mod clients;
mod commands;
mod configuration;
mod demo;
mod faults;
mod first_steps;
mod injection;
mod logging;
mod policies;
mod program;
mod python;
mod replay;
mod serving;
mod sites;
#[cfg(feature = "otlp")]
mod traces;
