//! Tests of the kernel against f64, at every width, depth and number of rows that takes a path of its own.

use super::Kernel;
use super::exact::{exact, exact_row};
use super::simd::F32x4;
use crate::activation::{self, Activation};
use crate::draw::Draw;
use crate::network::{Hidden, Linear, MeanStep, Network};
use crate::vector::Vector;

fn pack(network: &Network) -> Kernel {
    Kernel::pack(network).expect("the network is sound")
}

fn run(kernel: &mut Kernel, states: &[f32]) -> [Vec<f32>; 2] {
    let (mut mean, mut log_std) = (vec![9.0; 3], vec![9.0; 3]);
    kernel.run(states, &mut mean, Some(&mut log_std));
    [mean, log_std]
}

fn apply(activation: Activation, x: f32) -> f32 {
    let mut values = [F32x4::splat(x)];
    activation::apply(activation, &mut values);
    values[0].to_array()[0]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Compares every row with f64, and bit by bit with the same row alone.
fn check(draw: &mut Draw, widths: &[usize], actions: usize, activation: Activation, rows: usize) {
    let network = draw.network(widths, actions, activation);
    let mut kernel = pack(&network);
    let states = draw.values(rows * widths[0]);
    let batch = run(&mut kernel, &states);
    assert_eq!(batch.each_ref().map(Vec::len), [rows * actions; 2]);
    for (row, state) in states.chunks(widths[0]).enumerate() {
        let alone = run(&mut kernel, state);
        for ((batch, alone), exact) in batch.iter().zip(&alone).zip(exact_row(&network, state)) {
            assert_eq!(
                bits(&batch[row * actions..][..actions]),
                bits(alone),
                "{widths:?} {actions} row {row} of {rows}"
            );
            for (value, exact) in alone.iter().zip(exact) {
                let error = (f64::from(*value) - exact).abs();
                assert!(error < 1e-5 * (1.0 + exact.abs()), "{widths:?} {actions} {activation:?}: {value} for {exact}");
            }
        }
    }
}

#[test]
fn every_width_agrees_with_f64_and_rows_do_not_depend_on_their_batch() {
    let mut draw = Draw(1);
    for width in (1..=70).chain([255, 256, 257]) {
        let activation = Activation::ALL[width % 7];
        check(&mut draw, &[5, width, 9], 2, activation, 4);
        check(&mut draw, &[width, 11], width % 13 + 1, activation, 2);
        check(&mut draw, &[width], width, activation, 5);
    }
}

#[test]
fn every_depth_and_every_number_of_rows_agree_with_f64() {
    let mut draw = Draw(2);
    for rows in 1..=17 {
        for depth in 0..=4 {
            let widths: Vec<usize> = (0..=depth).map(|layer| 3 + (rows * 7 + layer * 13) % 40).collect();
            check(&mut draw, &widths, 1 + (rows + depth) % 7, Activation::ALL[(rows + depth) % 7], rows);
        }
    }
    for rows in [1, 2, 17] {
        check(&mut draw, &[28, 256, 256], 1, Activation::Relu, rows);
        check(&mut draw, &[3, 64, 64], 1, Activation::Relu, rows);
    }
}

#[test]
fn leaving_out_log_std_changes_no_mean() {
    let mut draw = Draw(3);
    let network = draw.network(&[6, 20], 3, Activation::Relu);
    let states = draw.values(24);
    let [both, _] = run(&mut pack(&network), &states);
    let mut mean = vec![];
    pack(&network).run(&states, &mut mean, None);
    assert_eq!(bits(&mean), bits(&both));
    assert_eq!(run(&mut pack(&network), &[]), [const { Vec::<f32>::new() }; 2]);
}

#[test]
fn activations_are_exact_to_two_millionths() {
    for activation in Activation::ALL {
        let mut worst = (0.0, 0.0);
        for i in -300_000..=300_000 {
            let x = i as f32 * 1e-4;
            let error = (f64::from(apply(activation, x)) - exact(activation, f64::from(x))).abs();
            if error > worst.0 {
                worst = (error, x);
            }
        }
        println!("{activation:?}: {:.2e} at {}", worst.0, worst.1);
        assert!(worst.0 <= 2e-6, "{activation:?} is off by {} at {}", worst.0, worst.1);
    }
}

#[test]
fn activations_saturate_and_keep_nan() {
    for activation in Activation::ALL {
        for x in [f32::INFINITY, f32::MAX, 1e4] {
            let limit = match activation {
                Activation::Tanh | Activation::Sigmoid => 1.0,
                Activation::Relu6 => 6.0,
                Activation::Selu => x * Activation::SELU[0],
                _ => x,
            };
            assert_eq!(apply(activation, x), limit, "{activation:?} of {x}");
        }
        for x in [f32::NEG_INFINITY, f32::MIN, -1e4] {
            let y = apply(activation, x);
            let limit = match activation {
                Activation::LeakyRelu => x * Activation::LEAKY_SLOPE,
                Activation::Elu | Activation::Celu | Activation::Tanh => -1.0,
                Activation::Selu => -Activation::SELU[0] * Activation::SELU[1],
                _ => 0.0,
            };
            assert!(y == limit || (y - limit).abs() < 1e-6, "{activation:?} of {x} is {y}");
        }
        assert!(apply(activation, f32::NAN).is_nan(), "{activation:?}");
    }
}

#[test]
fn small_values_keep_their_relative_precision() {
    for activation in [Activation::Elu, Activation::Silu, Activation::Gelu, Activation::Tanh] {
        for x in [1e-6, -1e-6, 3e-20, -3e-20] {
            let error = f64::from(apply(activation, x)) / exact(activation, f64::from(x)) - 1.0;
            assert!(error.abs() < 1e-6, "{activation:?} of {x} is off by {error}");
        }
    }
}

#[test]
fn nan_reaches_its_row_only_and_infinity_only_what_depends_on_it() {
    let mut draw = Draw(4);
    for rows in 1..=7 {
        let mut kernel = pack(&draw.network(&[6, 13, 7], 2, Activation::Relu));
        let mut states = draw.values(rows * 6);
        let [clean, _] = run(&mut kernel, &states);
        states[(rows - 1) * 6 + 2] = f32::NAN;
        let [mean, _] = run(&mut kernel, &states);
        assert!(mean[(rows - 1) * 2..].iter().all(|value| value.is_nan()));
        assert_eq!(bits(&mean[..(rows - 1) * 2]), bits(&clean[..(rows - 1) * 2]));
    }
    // The zeros that fill up the last vector are multiplied by the infinity too. The resulting NaN must not count.
    let ones = |inputs: usize, outputs: usize| {
        let (weight, bias) = (vec![1.0; inputs * outputs].into(), vec![0.5; outputs].into());
        Linear { inputs, outputs, weight, bias }
    };
    let trunk = vec![Hidden { linear: ones(2, 5), activation: Some(Activation::Tanh) }];
    let network = Network { trunk, mean: ones(5, 1), mean_step: None, log_std: None };
    assert_eq!(run(&mut pack(&network), &[f32::INFINITY, 1.0])[0], [5.5]);
}

#[test]
fn a_second_call_allocates_nothing() {
    let mut draw = Draw(5);
    let mut kernel = pack(&draw.network(&[9, 30], 3, Activation::Silu));
    let states = draw.values(9 * 8);
    let (mut mean, mut log_std) = (vec![], vec![]);
    kernel.run(&states, &mut mean, Some(&mut log_std));
    let before = (mean.as_ptr(), mean.capacity(), log_std.as_ptr(), log_std.capacity());
    kernel.run(&states, &mut mean, Some(&mut log_std));
    assert_eq!(before, (mean.as_ptr(), mean.capacity(), log_std.as_ptr(), log_std.capacity()));
}

#[test]
fn a_network_can_be_unpacked() {
    let mut draw = Draw(6);
    for width in 1..=20 {
        let mut network = draw.network(&[3, width, 21 - width], width, Activation::ALL[width % 13]);
        network.mean_step = Some(MeanStep::Clamp(width as f32));
        assert_eq!(pack(&network).network(), network);
        network.log_std = None;
        network.trunk[1].activation = None;
        assert_eq!(pack(&network).network(), network);
    }
}

#[test]
fn a_network_that_is_not_sound_is_not_packed() {
    let network = Draw(7).network(&[3, 8], 2, Activation::Relu);
    assert!(Kernel::pack(&Network { mean: Draw(7).linear(7, 2), ..network }).is_none());
}
