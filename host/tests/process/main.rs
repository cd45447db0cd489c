//! The program, run as a process.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod absence;
mod accessibility;
mod activation;
mod advice;
mod browser;
mod card;
mod choice;
mod clients;
mod commands;
mod configuration;
mod dashboard;
mod demo;
mod documentation;
mod faults;
mod first_steps;
mod injection;
mod logging;
mod paths;
mod platforms;
mod policies;
mod program;
mod python;
mod replay;
mod serving;
mod sites;
mod sockets;
#[cfg(feature = "otlp")]
mod traces;
mod trying;
