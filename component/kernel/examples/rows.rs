//! Measures the kernel on a network of 28-256-256-1: the time of a call by its rows, in four lanes as they are compiled for
//! this processor, and in wide ones.
//!
//!     cargo run --release -p sac-kernel --example rows

use std::hint::black_box;
use std::time::{Duration, Instant};

use sac_kernel::{Activation, Hidden, Kernel, Linear, Network, Wide};

fn main() {
    let network = network();
    let mut kernel = Kernel::pack(&network).expect("the network is sound");
    let wides = Wide::pack_each(&network, None);
    let lanes = wides.iter().map(|wide| format!("{:>12}", format!("{} lanes", wide.lanes()))).collect::<String>();
    println!("{:>5}{:>12}{lanes}", "rows", "4 lanes");
    for rows in [1, 8, 32, 256] {
        let states: Vec<f32> = (0..28 * rows).map(|i| spread(i, 1.0)).collect();
        let (mut mean, mut same) = (vec![], vec![]);
        let mut times = vec![time(|| kernel.run(black_box(&states), &mut mean, None))];
        for wide in &wides {
            times.push(time(|| wide.run(black_box(&states), &mut same, None)));
            assert!(mean.iter().map(|mean| mean.to_bits()).eq(same.iter().map(|mean| mean.to_bits())));
        }
        let times = times.iter().map(|time| format!("{:>12}", format!("{time:.1} µs"))).collect::<String>();
        println!("{rows:>5}{times}");
    }
}

fn network() -> Network<'static> {
    let linear = |inputs: usize, outputs: usize| Linear {
        inputs,
        outputs,
        weight: (0..inputs * outputs).map(|i| spread(i, 2.0 / (inputs as f32).sqrt())).collect(),
        bias: (0..outputs).map(|i| spread(i, 0.1)).collect(),
    };
    let hidden = |inputs| Hidden { linear: linear(inputs, 256), activation: Some(Activation::Relu) };
    Network { trunk: vec![hidden(28), hidden(256)], mean: linear(256, 1), mean_step: None, log_std: None }
}

/// Returns numbers spread over ± `scale`: a Weyl sequence.
fn spread(index: usize, scale: f32) -> f32 {
    ((index as f32 * 0.618_034).fract() * 2.0 - 1.0) * scale
}

/// Returns the least time of a call in microseconds. Other programs only make it longer.
fn time(mut call: impl FnMut()) -> f64 {
    let (end, mut least) = (Instant::now() + Duration::from_millis(500), Duration::MAX);
    while Instant::now() < end {
        let start = Instant::now();
        call();
        least = least.min(start.elapsed());
    }
    least.as_secs_f64() * 1e6
}
