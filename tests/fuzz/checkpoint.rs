//! Damaged and hostile checkpoints of every format.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use fastrand::Rng;
use sac_actor::{
    Activation, Body, Bounds, Checkpoint, File, Instant, OnRefusal, OperatorFacts, Outcome, Request, RequestContext,
    RouterConfig, Service, Sidecar, SidecarKind,
};
use sac_serving::{Inspector, SandboxLimits};
use sac_tests::{cache_dir, patient_sandbox, workspace};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use crate::cases::Tally;
use crate::memory::peak_of;
use crate::mutation::pick;
use crate::{cases, contract, mutation};

/// Larger seeds find nothing more, and are slow.
const LARGEST_SEED: u64 = 48 << 10;
/// The memory that an instance may have.
const MOST_MEMORY: usize = 256 << 20;

/// A file of `tests/data`.
struct Seed {
    extension: String,
    bytes: Vec<u8>,
    /// The files that stand beside it.
    sidecars: Vec<Sidecar>,
}

/// The extensions of files that are decoded without tract, in which nothing may panic.
const OWN_FORMATS: [&str; 8] = ["pt", "pth", "zip", "safetensors", "d3", "msh", "pkl", "ckpt"];

/// Returns `true` for an archive with a program, from which a graph for tract is made.
fn is_program(bytes: &[u8]) -> bool {
    [&b"code/__torch__"[..], b"models/model.json"].iter().any(|name| bytes.windows(name.len()).any(|at| at == *name))
}

fn seeds(wanted: impl Fn(&str, &[u8]) -> bool) -> Vec<Seed> {
    let data = workspace().join("tests/data");
    let read = |folder: &PathBuf| {
        let mut files = fs::read_dir(folder).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
        // The file system gives no order.
        files.sort_by_key(fs::DirEntry::path);
        files
    };
    let mut folders = vec![workspace().join("host/demo"), data.clone(), data.join("odd"), data.join("torch")];
    folders.extend(read(&data.join("corpus")).iter().map(fs::DirEntry::path));
    let files = folders.iter().flat_map(read);
    let seeds = files.filter(|file| file.metadata().unwrap().len() <= LARGEST_SEED).filter_map(|file| {
        let extension = file.path().extension()?.to_str()?.to_owned();
        let bytes = fs::read(file.path()).unwrap();
        wanted(&extension, &bytes).then(|| Seed { extension, bytes, sidecars: sidecars(&file.path()) })
    });
    seeds.collect()
}

/// Returns the sidecars that only this checkpoint has.
fn sidecars(checkpoint: &Path) -> Vec<Sidecar> {
    let suffixes = [
        (SidecarKind::Card, ".policy.json"),
        (SidecarKind::Vecnormalize, ".vecnormalize.pkl"),
        (SidecarKind::ExternalData, ".data"),
    ];
    let name = checkpoint.file_name().and_then(|name| name.to_str()).unwrap();
    let sidecar = |(kind, suffix)| {
        let name = format!("{name}{suffix}");
        let bytes = fs::read(checkpoint.with_file_name(&name)).ok()?;
        Some(Sidecar { kind, name, bytes })
    };
    suffixes.into_iter().filter_map(sidecar).collect()
}

fn alone(bytes: Vec<u8>) -> File {
    File { bytes, sidecars: vec![] }
}

/// These run natively, where a panic fails the test: this project's own code reads these formats.
#[test]
fn a_mutant_of_any_other_format_loads_or_is_refused() {
    let seeds = seeds(|extension, bytes| OWN_FORMATS.contains(&extension) && !is_program(bytes));
    let mut tally = Tally::default();
    cases::run("a_mutant_of_any_other_format", 20_000, |rng| {
        let (seed, other) = (&seeds[rng.usize(..seeds.len())], &seeds[rng.usize(..seeds.len())]);
        let mut sidecars = seed.sidecars.clone();
        let bytes = match sidecars.first_mut() {
            Some(sidecar) if rng.bool() => {
                mutation::mutate(rng, &mut sidecar.bytes, &other.bytes);
                seed.bytes.clone()
            }
            _ => mutant(rng, seed, other),
        };
        let length = bytes.len();
        let file = File { bytes, sidecars };
        let (loaded, peak) = peak_of(|| load(&file));
        assert!(peak < MOST_MEMORY, "{peak} bytes for a file of {length}");
        tally.count(outcome(seed, loaded));
    });
    tally.expect(&[
        "pt loaded",
        "pt refused",
        "zip loaded",
        "zip refused",
        "safetensors loaded",
        "safetensors refused",
        "pth loaded",
        "d3 loaded",
        "msh refused",
        "pkl refused",
    ]);
}

/// These run in the sandbox, since tract may panic: the instance is lost then, and the file is refused.
#[test]
fn a_mutant_of_a_graph_or_a_program_loads_or_is_refused() {
    let seeds = seeds(|extension, bytes| extension == "onnx" || is_program(bytes));
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("mutant");
    let inspector = inspector();
    let mut tally = Tally::default();
    cases::run("a_mutant_of_a_graph_or_a_program", 4_000, |rng| {
        let (seed, other) = (&seeds[rng.usize(..seeds.len())], &seeds[rng.usize(..seeds.len())]);
        fs::write(&path, mutant(rng, seed, other)).unwrap();
        let inspection = inspector.inspect(&path);
        if let Err(error) = &inspection {
            let reason = format!("{error:#}");
            assert!(!reason.is_empty() && !reason.contains('\n') && reason.len() < 10_000, "{reason}");
            assert!(!reason.contains("it took longer"), "{reason}");
        }
        tally.count(outcome(seed, inspection.is_ok()));
    });
    tally.expect(&["onnx loaded", "onnx refused", "pt loaded", "pt refused", "pt2 refused"]);
}

/// A file of each format is cut at each length near its end, and at some down to nothing.
#[test]
fn no_file_that_was_cut_short_loads() {
    let seeds = [
        "pendulum_00500.state_dict.pt",
        "torch/legacy.pt",
        "corpus/jit_sb3docs_freeze/jit_traced.pt",
        "torch/actor.safetensors",
    ];
    for name in seeds.iter().chain(&["torch/sb3_tanh.zip"]) {
        let whole = sac_tests::file(name);
        assert!(load(&alone(whole.clone())), "{name}");
        for length in shorter(whole.len()) {
            let cut = alone(whole[..length].to_vec());
            assert!(!load(&cut), "{length} bytes of {name}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.onnx");
    let inspector = inspector();
    for name in ["pendulum_00500", "pendulum_08000"] {
        let whole = sac_tests::checkpoint(name);
        for length in shorter(whole.len()) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(inspector.inspect(&path).is_err(), "{length} bytes of {name}");
        }
    }
}

fn shorter(length: usize) -> impl Iterator<Item = usize> {
    (0..length).filter(move |shorter| length - shorter < 500 || shorter % 61 == 0)
}

fn inspector() -> Inspector {
    // A mutant that takes so long fails the test, and a busy machine does not.
    let sandbox = SandboxLimits { load_time: Duration::from_secs(60), ..patient_sandbox() };
    let config = sac_serving::Config { cache_dir: Some(cache_dir()), sandbox, ..Default::default() };
    Inspector::new(config).unwrap()
}

fn outcome(seed: &Seed, loaded: bool) -> String {
    format!("{} {}", seed.extension, if loaded { "loaded" } else { "refused" })
}

/// Every second mutant of an archive has a member that is changed, in an archive that is whole.
fn mutant(rng: &mut Rng, seed: &Seed, other: &Seed) -> Vec<u8> {
    let mut bytes = seed.bytes.clone();
    let inner = if rng.bool() { mutate_within(rng, &bytes, &other.bytes) } else { None };
    match inner {
        Some(inner) => bytes = inner,
        None => mutation::mutate(rng, &mut bytes, &other.bytes),
    }
    bytes
}

/// Changes one member of a zip archive and packs it again, so that its checksums hold.
fn mutate_within(rng: &mut Rng, bytes: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let chosen = rng.usize(..archive.len().max(1));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).ok()?;
        let mut content = Vec::new();
        member.read_to_end(&mut content).ok()?;
        // These say how the others are read, and are changed more often.
        let is_index = ["data.pkl", "data", "policy.pth"].iter().any(|name| member.name().ends_with(name));
        if index == chosen || (is_index && rng.bool()) {
            let inner = match member.name() {
                "policy.pth" => mutate_within(rng, &content, other),
                "data" => mutate_space(rng, &content, other),
                _ => None,
            };
            match inner.filter(|_| rng.u8(..4) > 0) {
                Some(inner) => content = inner,
                None => mutation::mutate(rng, &mut content, other),
            }
        }
        writer.start_file(member.name(), options).ok()?;
        writer.write_all(&content).ok()?;
    }
    Some(writer.finish().ok()?.into_inner())
}

/// Changes one of the pickles in the JSON of a Stable-Baselines3 model.
fn mutate_space(rng: &mut Rng, data: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let mut data = serde_json::from_slice::<Value>(data).ok()?;
    let chosen = pick(rng, &["action_space", "observation_space", "policy_kwargs"]);
    let pickle = data.get_mut(chosen)?.get_mut(":serialized:")?;
    let mut bytes = BASE64_STANDARD.decode(pickle.as_str()?).ok()?;
    mutation::mutate(rng, &mut bytes, other);
    *pickle = BASE64_STANDARD.encode(bytes).into();
    Some(data.to_string().into_bytes())
}

/// Returns `true` if a file loads. Then it also acts, and so does the ONNX file that it converts to.
fn load(file: &File) -> bool {
    let loaded = acts(file, facts());
    if loaded {
        let converted = Service::convert(file.clone(), &facts()).unwrap();
        let none = OperatorFacts { activation: None, action_bounds: None };
        assert!(acts(&alone(converted), none), "what it converts to");
    }
    loaded
}

/// Lets those seeds load that lack facts.
fn facts() -> OperatorFacts {
    let unit = Bounds { low: vec![-1.0], high: vec![1.0] };
    OperatorFacts { activation: Some(Activation::Relu), action_bounds: Some(unit) }
}

fn acts(file: &File, operator_facts: OperatorFacts) -> bool {
    let config = RouterConfig {
        name: "sac".to_owned(),
        optimised: true,
        operator_facts,
        on_refusal: OnRefusal::Keep,
        max_batch: 16,
        max_body_bytes: 1 << 16,
        splits: false,
    };
    let mut service = Service::new(config);
    let epoch = Instant { seconds: 0, nanoseconds: 0 };
    let checkpoint = Checkpoint { path: "/c".into(), modified: epoch, loaded: epoch, sha256: None, generation: 1 };
    let policy = match service.load(checkpoint, file.clone(), None) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!format!("{error:#}").is_empty());
            return false;
        }
    };
    let zeros = vec!["0"; policy.state_dim as usize].join(",");
    let body = Body::Complete(format!("{{\"state\":[{zeros}]}}").into_bytes());
    let request = Request {
        method: "POST".into(),
        path: "/sac/predict".into(),
        authorization: None,
        inference_header_content_length: None,
        body,
    };
    let context = RequestContext {
        tokens: vec![],
        refusal: None,
        absence: None,
        reloaded: None,
        may_block: true,
        wants_decision: false,
    };
    let Outcome::Respond(response) = service.answer(&request, &context) else { panic!("no answer") };
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    contract::check("/sac/predict", 200, &response.body, true);
    true
}
