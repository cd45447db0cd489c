//! Computes recorded decisions again, from the checkpoints that made them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use sac_owner::{Content, Source, one_line, path_line};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::warn;

use crate::config::Config;
use crate::decisions::line::{Line, SidecarDigest, digests};
use crate::sandbox::bindings::Backend;
use crate::sandbox::factory::{InstanceFactory, SetupError};
use crate::sandbox::instance::Instance;

/// The policies that are loaded at once. Logs of many policies have their decisions in turns.
const MAX_LOADED: usize = 32;
/// The decisions that are listed one by one.
const MAX_LISTED: usize = 20;

/// Computes the decisions of logs again. Blocks.
pub struct Replay {
    factory: InstanceFactory,
    source: Source,
    load_time: std::time::Duration,
    /// The candidates, by their sha256.
    files: HashMap<String, Vec<PathBuf>>,
    /// The policies that were asked last, with the number of the line.
    loaded: HashMap<Key, (u64, Result<Instance, String>)>,
    lines: u64,
    report: ReplayReport,
}

/// The error of a [`Replay`].
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A folder or a file of checkpoints cannot be read.
    #[error("{} cannot be read", path_line(.0))]
    Files(PathBuf, #[source] io::Error),
    /// The sandbox cannot be made.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

/// The result of a replay.
#[derive(Debug, Default, Serialize)]
pub struct ReplayReport {
    /// The decisions in the logs, those that cannot be read included.
    pub decisions: u64,
    /// The decisions whose actions have the same bits again.
    pub same: u64,
    /// The decisions with other actions.
    pub different: u64,
    /// The decisions whose checkpoint is not among the files, by the sha256 of the checkpoint.
    pub missing: BTreeMap<String, u64>,
    /// The decisions that cannot be computed again.
    pub failed: u64,
    /// The lines that end too early, as a crash leaves them. Their decisions are not known.
    pub cut: u64,
    /// The other lines that are no decisions.
    pub unreadable: u64,
    /// The first decisions that are not the same.
    pub listed: Vec<Replayed>,
}

/// A decision that is not the same again.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The log, and the number of the line, from 1.
    pub line: String,
    /// The reason.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    sha256: String,
    sidecars: Vec<SidecarDigest>,
    backend: String,
}

/// The outcome for one decision.
enum Outcome {
    Same,
    Different(String),
    Missing(String),
    Failed(String),
    Unreadable(String),
    Cut,
}

impl Replay {
    /// Looks for checkpoints in these folders, in all folders below them, and among these files. The settings are those that
    /// the server had.
    ///
    /// # Errors
    ///
    /// Fails if a folder cannot be read, or if the component does not compile.
    pub fn new(config: Config, places: &[PathBuf]) -> Result<Self, ReplayError> {
        let mut files = HashMap::new();
        for place in places {
            find(place, &mut files).map_err(|error| ReplayError::Files(place.clone(), error))?;
        }
        let (factory, load_time) = (InstanceFactory::new(&config)?, config.sandbox.long_call_time);
        let (loaded, report) = (HashMap::new(), ReplayReport::default());
        Ok(Replay { factory, source: config.source, load_time, files, loaded, lines: 0, report })
    }

    /// Computes the decisions of a log again. Its lines are not kept.
    ///
    /// # Errors
    ///
    /// Fails if the log cannot be read.
    pub fn read(&mut self, name: &str, log: impl BufRead) -> io::Result<()> {
        for (index, line) in log.split(b'\n').enumerate() {
            let line = line?;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let outcome = match serde_json::from_slice::<Line>(&line) {
                Ok(line) => self.decide(line),
                Err(error) if error.is_eof() => Outcome::Cut,
                Err(error) => Outcome::Unreadable(format!("it is no decision: {error}")),
            };
            self.count(&format!("{name}:{}", index + 1), outcome);
        }
        Ok(())
    }

    /// Returns the results so far.
    pub fn report(self) -> ReplayReport {
        self.report
    }

    fn decide(&mut self, line: Line) -> Outcome {
        let Line { sha256, sidecars, backend, seed, states, actions, .. } = line;
        if !self.files.contains_key(&sha256) {
            return Outcome::Missing(sha256);
        }
        self.lines += 1;
        let key = Key { sha256, sidecars, backend };
        self.load(&key);
        let instance = match self.loaded.get_mut(&key) {
            Some((used, Ok(instance))) => {
                *used = self.lines;
                instance
            }
            Some((_, Err(reason))) => return Outcome::Failed(reason.clone()),
            None => return Outcome::Failed("its policy is not loaded".to_owned()),
        };
        match instance.decide(&states.concat(), seed, self.load_time.into()) {
            Ok(Ok(again)) => compare(&actions.concat(), &again),
            Ok(Err(reason)) => Outcome::Failed(reason),
            Err(error) => {
                self.loaded.remove(&key);
                Outcome::Failed(error.to_string())
            }
        }
    }

    /// Loads the policy of a key, unless it is loaded. The one that was asked least recently makes room.
    fn load(&mut self, key: &Key) {
        if self.loaded.contains_key(key) {
            return;
        }
        if self.loaded.len() >= MAX_LOADED {
            let oldest = self.loaded.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.loaded.remove(&oldest));
        }
        let loaded = self.instance(key);
        self.loaded.insert(key.clone(), (self.lines, loaded));
    }

    fn instance(&self, key: &Key) -> Result<Instance, String> {
        let backend = match key.backend.as_str() {
            "kernel" => Backend::Kernel,
            "tract" => Backend::Tract,
            other => return Err(format!("there is no backend `{}`", one_line(other))),
        };
        let mut reason = "the files beside its checkpoint are others now, or are missing".to_owned();
        for path in self.files.get(&key.sha256).into_iter().flatten() {
            match self.content(path) {
                Ok(content) if content.sha256() == key.sha256 && are_same(&digests(&content), &key.sidecars) => {
                    let loaded = self.factory.loaded_instance(&content, 0, Some(backend), true);
                    return loaded.map(|(instance, _)| instance).map_err(|error| error.to_string());
                }
                Ok(_) => {}
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    fn content(&self, path: &Path) -> Result<Content, String> {
        let source = self.source.of_file(path);
        let candidate = source.candidates().map_err(|error| error.to_string())?.pop();
        let candidate = candidate.ok_or_else(|| "the file of its checkpoint is gone".to_owned())?;
        source.read(&candidate).map_err(|error| error.to_string())
    }

    fn count(&mut self, line: &str, outcome: Outcome) {
        let report = &mut self.report;
        report.decisions += 1;
        let reason = match outcome {
            Outcome::Same => {
                report.same += 1;
                return;
            }
            Outcome::Missing(sha256) => {
                *report.missing.entry(sha256).or_default() += 1;
                return;
            }
            Outcome::Different(reason) => {
                report.different += 1;
                reason
            }
            Outcome::Failed(reason) => {
                report.failed += 1;
                reason
            }
            Outcome::Unreadable(reason) => {
                report.unreadable += 1;
                reason
            }
            Outcome::Cut => {
                report.cut += 1;
                "it ends too early".to_owned()
            }
        };
        if report.listed.len() < MAX_LISTED {
            report.listed.push(Replayed { line: line.to_owned(), reason: one_line(&reason).into_owned() });
        }
    }
}

/// Returns `true` if the files beside a checkpoint are those on record. They may have other names now, as the checkpoint may.
fn are_same(found: &[SidecarDigest], recorded: &[SidecarDigest]) -> bool {
    found.iter().map(|sidecar| &sidecar.sha256).eq(recorded.iter().map(|sidecar| &sidecar.sha256))
}

/// Compares actions bit for bit.
fn compare(recorded: &[f32], again: &[f32]) -> Outcome {
    if recorded.len() != again.len() {
        return Outcome::Different(format!("{} numbers instead of {}", again.len(), recorded.len()));
    }
    let different = || recorded.iter().zip(again).filter(|(one, other)| one.to_bits() != other.to_bits());
    let count = different().count();
    if count == 0 {
        return Outcome::Same;
    }
    let largest = different().map(|(one, other)| (f64::from(*one) - f64::from(*other)).abs()).fold(0.0, f64::max);
    Outcome::Different(format!("{count} of {} numbers differ, by at most {largest:e}", recorded.len()))
}

/// Adds the files of a place by their sha256. Symlinks to folders are not followed.
fn find(place: &Path, files: &mut HashMap<String, Vec<PathBuf>>) -> io::Result<()> {
    let found = place.metadata()?;
    if found.is_dir() {
        for entry in place.read_dir()? {
            let path = entry?.path();
            if path.is_symlink() && path.is_dir() {
                continue;
            }
            // A trainer may remove a file meanwhile.
            if let Err(error) = find(&path, files) {
                warn!("{} is left out: {error}", path_line(&path));
            }
        }
    } else if found.is_file() {
        files.entry(sha256(place)?).or_default().push(place.to_owned());
    }
    Ok(())
}

fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut digest) = (BufReader::new(File::open(path)?), Sha256::new());
    loop {
        let block = file.fill_buf()?;
        if block.is_empty() {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(block);
        let length = block.len();
        file.consume(length);
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = self.missing.values().sum::<u64>();
        for (name, count) in [
            ("decisions", self.decisions),
            ("same", self.same),
            ("different", self.different),
            ("checkpoint missing", missing),
            ("failed", self.failed),
            ("cut", self.cut),
            ("unreadable", self.unreadable),
        ] {
            writeln!(f, "{name:<22}{count}")?;
        }
        for (sha256, count) in &self.missing {
            writeln!(f, "no file has the sha256 {} ({count} decisions)", one_line(sha256))?;
        }
        for Replayed { line, reason } in &self.listed {
            writeln!(f, "{}: {reason}", one_line(line))?;
        }
        Ok(())
    }
}
