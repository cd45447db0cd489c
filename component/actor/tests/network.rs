//! An owner that computes the parts of a batch by `network` gets the bits that `forward` gives.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{checkpoint, read, relu_and_unit};
use sac_actor::{Activation, Backend, Batch, Linear, Network, OnRefusal, Policy, RouterConfig, RowOutputs, Service};
use sac_kernel::{Hidden, Kernel, MeanStep, Normalisation, Wide};
use sac_test_support::path;

fn service(optimised: bool) -> Service {
    Service::new(RouterConfig {
        name: "sac".to_owned(),
        optimised,
        operator_facts: relu_and_unit(),
        on_refusal: OnRefusal::Keep,
        max_batch: 4096,
        max_body_bytes: 1 << 24,
        splits: true,
    })
}

fn loaded(path: &Path) -> Option<(Service, Policy)> {
    let mut service = service(true);
    let policy = service.load(checkpoint(), read(path), None).ok()?;
    Some((service, policy))
}

fn linear(linear: Linear) -> sac_kernel::Linear<'static> {
    sac_kernel::Linear {
        inputs: linear.inputs as usize,
        outputs: linear.outputs as usize,
        weight: linear.weight.into(),
        bias: linear.bias.into(),
    }
}

fn activation(activation: Activation) -> sac_kernel::Activation {
    // Both have PyTorch's names.
    let same = |it: &sac_kernel::Activation| format!("{it:?}") == format!("{activation:?}").replace("Activation::", "");
    sac_kernel::Activation::ALL.into_iter().find(same).unwrap()
}

/// Describes the network to the kernel, as an owner does.
fn described(network: Network) -> (sac_kernel::Network<'static>, Option<Normalisation<'static>>) {
    let trunk = network.trunk.into_iter();
    let described = sac_kernel::Network {
        trunk: trunk
            .map(|it| Hidden { linear: linear(it.linear), activation: it.activation.map(activation) })
            .collect(),
        mean: linear(network.mean),
        mean_step: network.mean_limit.map(MeanStep::Clamp),
        log_std: network.log_std.map(linear),
    };
    let normalisation = network.normalisation;
    let normalisation =
        normalisation.map(|it| Normalisation { mean: it.mean.into(), std: it.std.into(), clip: it.clip });
    (described, normalisation)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Compares what an owner computes with the component's own outputs.
fn check(service: &mut Service, network: Network, state_dim: usize, what: &str) {
    let (network, normalisation) = described(network);
    let states = (0..37 * state_dim).map(|i| ((i as f32 * 0.618_034).fract() - 0.5) * 6.0).collect::<Vec<_>>();
    let RowOutputs { mean, log_std } = service.forward(&Batch { states: states.clone(), log_std: true }).unwrap();
    let normalised = normalisation.as_ref().map_or(states.clone(), |normalisation| normalisation.apply(&states));
    let (mut ours, mut spread) = (vec![], vec![]);
    Kernel::pack(&network).unwrap().run(&normalised, &mut ours, Some(&mut spread));
    assert_eq!((bits(&ours), bits(&spread)), (bits(&mean), bits(&log_std)), "{what}");
    for wide in Wide::pack_each(&network, normalisation.as_ref()) {
        wide.run(&states, &mut ours, Some(&mut spread));
        assert_eq!((bits(&ours), bits(&spread)), (bits(&mean), bits(&log_std)), "{what}, {} lanes", wide.lanes());
    }
}

/// Returns the checkpoints of the corpus, and those beside it.
fn checkpoints() -> Vec<PathBuf> {
    let list = |folder: PathBuf| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let (data, torch) = (path("corpus").parent().unwrap().to_owned(), path("torch"));
    let mut files = [data, torch].into_iter().flat_map(list).collect::<Vec<_>>();
    files.extend(list(path("corpus")).into_iter().flat_map(list));
    files.retain(|file| file.is_file());
    files
}

#[test]
fn every_policy_of_layers_can_be_computed_by_its_owner() {
    let (mut described, mut normalised, mut clamped, mut deterministic) = (0, 0, 0, 0);
    // Those that take tanh of the mean, which is libm's.
    let mut bounded = vec![];
    for file in checkpoints() {
        let Some((mut service, policy)) = loaded(&file) else { continue };
        let what = file.display().to_string();
        let Some(network) = service.network() else {
            bounded.extend((policy.backend == Backend::Kernel).then_some(what));
            continue;
        };
        assert_eq!((policy.backend, &network.normalisation), (Backend::Kernel, &policy.normalisation), "{what}");
        described += 1;
        normalised += usize::from(network.normalisation.is_some());
        clamped += usize::from(network.mean_limit.is_some());
        deterministic += usize::from(network.log_std.is_none());
        check(&mut service, network, policy.state_dim as usize, &what);
    }
    assert_eq!([described, normalised, clamped, deterministic], [124, 20, 2, 22]);
    assert_eq!(bounded.len(), 9, "{bounded:#?}");
}

#[test]
fn there_is_nothing_to_compute_without_a_policy_and_by_tract() {
    assert!(service(true).network().is_none());
    let mut service = service(false);
    service.load(checkpoint(), read(&path("stat_pair_03000.onnx")), None).unwrap();
    assert!(service.network().is_none());
}
