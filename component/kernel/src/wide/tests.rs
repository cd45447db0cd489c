//! Tests that every width gives the bits of the component's lanes.

use super::Wide;
use crate::activation::Activation;
use crate::draw::Draw;
use crate::narrow::Kernel;
use crate::network::{MeanStep, Network};
use crate::normalisation::Normalisation;

/// Numbers that take a path of their own in some formula or instruction.
const ODD: [f32; 14] = [
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    0.0,
    -0.0,
    1e-45,
    -1e-45,
    f32::MIN_POSITIVE / 3.0,
    f32::MAX,
    f32::MIN,
    1e30,
    -1e30,
    87.5,
    -87.5,
];

/// The bits of numbers, where one NaN is as good as another.
fn bits(values: &[f32]) -> Vec<u32> {
    let bits = |value: &f32| if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
    values.iter().map(bits).collect()
}

/// Makes states, of which one number in ten is odd, and some small rows and some large ones.
fn states(draw: &mut Draw, rows: usize, state_dim: usize) -> Vec<f32> {
    let mut states = draw.values(rows * state_dim);
    for row in states.chunks_exact_mut(state_dim) {
        let (scale, has_odd) = ([1.0, 1e-20, 30.0, 1e3][draw.below(4)], draw.below(3) == 0);
        for number in row {
            let is_odd = has_odd && draw.below(10) == 0;
            *number = if is_odd { ODD[draw.below(ODD.len())] } else { *number * scale };
        }
    }
    states
}

/// Compares every width with the component's, with log_std and without it.
fn check(network: &Network, normalisation: Option<&Normalisation>, states: &[f32]) {
    let mut kernel = Kernel::pack(network).expect("the network is sound");
    let normalised = normalisation.map_or_else(|| states.to_vec(), |normalisation| normalisation.apply(states));
    let (mut mean, mut log_std) = (vec![], vec![]);
    kernel.run(&normalised, &mut mean, Some(&mut log_std));
    for wide in Wide::pack_each(network, normalisation) {
        let sizes = network.trunk.iter().map(|it| (it.linear.inputs, it.activation)).collect::<Vec<_>>();
        let what = format!("{} lanes of {sizes:?}, {} to {}", wide.lanes(), network.mean.inputs, network.mean.outputs);
        let (mut found, mut spread) = (vec![9.0; 3], vec![9.0; 3]);
        wide.run(states, &mut found, Some(&mut spread));
        assert_eq!(bits(&found), bits(&mean), "{what}");
        assert_eq!(bits(&spread), bits(&log_std), "{what}");
        wide.run(states, &mut found, None);
        assert_eq!(bits(&found), bits(&mean), "{what}");
    }
}

#[test]
fn random_networks_give_the_same_bits() {
    let mut draw = Draw(2);
    for round in 0..600 {
        let widths: Vec<usize> = (0..=draw.below(4)).map(|_| 1 + draw.below(40)).collect();
        let activation = Activation::ALL[round % Activation::ALL.len()];
        let actions = 1 + draw.below(40);
        let mut network = draw.network(&widths, actions, activation);
        for hidden in &mut network.trunk {
            hidden.activation = [None, Some(activation), Some(Activation::ALL[draw.below(13)])][draw.below(3)];
        }
        network.mean_step = [None, Some(MeanStep::Clamp(0.5))][draw.below(2)];
        if draw.below(3) == 0 {
            network.log_std = None;
        }
        let rows = 1 + draw.below(70);
        check(&network, None, &states(&mut draw, rows, widths[0]));
    }
}

#[test]
fn every_width_and_every_number_of_rows_gives_the_same_bits() {
    let mut draw = Draw(3);
    for size in 1..=70 {
        let network = draw.network(&[size, 71 - size, size], 1 + size % 9, Activation::ALL[size % 13]);
        check(&network, None, &states(&mut draw, size, size));
    }
    for width in [255, 256, 257, 300, 400] {
        let network = draw.network(&[28, width, width], 1, Activation::Relu);
        check(&network, None, &states(&mut draw, 67, 28));
    }
    // So wide that fewer rows go together.
    for width in [2100, 9000] {
        let network = draw.network(&[3, width, 9], 2, Activation::Elu);
        check(&network, None, &states(&mut draw, 67, 3));
    }
}

#[test]
fn every_activation_gives_the_same_bits_for_every_kind_of_number() {
    let mut draw = Draw(4);
    for activation in Activation::ALL {
        // Each state is one number, which reaches the activation as it is, in panels and beside them.
        let mut network = draw.network(&[1, 37], 3, activation);
        network.trunk[0].linear.weight = vec![1.0; 37].into();
        network.trunk[0].linear.bias = vec![-0.0; 37].into();
        let near = (-4000..4000).map(|i| i as f32 / 40.0);
        let any = std::iter::repeat_with(|| f32::from_bits(draw.bits())).take(8000);
        let states = ODD.into_iter().chain(near).chain(any).collect::<Vec<_>>();
        check(&network, None, &states);
    }
}

#[test]
fn states_are_normalised_with_the_same_bits() {
    let mut draw = Draw(5);
    for clip in [None, Some(0.7)] {
        let std = (0..11).map(|_| draw.next().abs() + 0.1).collect();
        let normalisation = Normalisation { mean: draw.values(11).into(), std, clip };
        let network = draw.network(&[11, 20], 2, Activation::Tanh);
        check(&network, Some(&normalisation), &states(&mut draw, 40, 11));
    }
}

#[test]
fn threads_share_a_network() {
    let mut draw = Draw(6);
    let network = draw.network(&[28, 64], 3, Activation::Silu);
    let states = states(&mut draw, 70, 28);
    for wide in Wide::pack_each(&network, None) {
        let run = || {
            let mut mean = vec![];
            wide.run(&states, &mut mean, None);
            bits(&mean)
        };
        let (here, there) = std::thread::scope(|scope| {
            let there = scope.spawn(run);
            (run(), there.join().expect("it does not panic"))
        });
        assert_eq!(here, there);
    }
}

#[test]
fn a_batch_without_rows_has_no_outputs() {
    let network = Draw(7).network(&[5, 9], 2, Activation::Relu);
    check(&network, None, &[]);
}

#[test]
fn only_plain_arithmetic_is_packed_and_the_widest_vectors_come_first() {
    let mut network = Draw(8).network(&[5, 9], 2, Activation::Relu);
    let normalisation = Normalisation { mean: vec![0.0; 5].into(), std: vec![1.0; 5].into(), clip: None };
    let packed = Wide::pack(&network, Some(&normalisation));
    let each = Wide::pack_each(&network, None).iter().map(Wide::lanes).collect::<Vec<_>>();
    assert_eq!(packed.as_ref().map(Wide::lanes), each.first().copied());
    assert!(each.is_sorted_by(|a, b| a > b));
    if let Some(packed) = packed {
        let numbers = 5 * 9 + 9 + 2 * (9 * 2 + 2);
        assert!((4 * numbers..64 * numbers).contains(&packed.bytes()), "{}", packed.bytes());
    }
    let short = Normalisation { std: vec![1.0; 4].into(), ..normalisation };
    assert!(Wide::pack(&network, Some(&short)).is_none());
    network.mean_step = Some(MeanStep::Tanh);
    assert!(Wide::pack(&network, None).is_none());
    network.mean_step = None;
    network.mean.inputs = 8;
    assert!(Wide::pack(&network, None).is_none());
}
