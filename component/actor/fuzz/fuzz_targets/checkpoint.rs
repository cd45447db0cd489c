//! A checkpoint and the files beside it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sac_actor_fuzz::{check, file, install, usual_facts};

fuzz_target!(init: install(), |input: &[u8]| check(&file(input), &usual_facts()));
