//! Writes decisions on a thread of its own. Requests hand them over and wait for nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use sac_owner::path_line;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::config::DecisionLogConfig;
use crate::decisions::file::LogFile;
use crate::decisions::line::{Author, Line};
use crate::observe::metrics::{DecisionMetrics, Metrics};
use crate::sandbox::bindings::Decision;
use crate::swap::generation::Generation;

/// The memory of the decisions that wait to be written. Beyond it, they are dropped.
const MAX_BYTES: usize = 16 << 20;
/// The bytes that are written at once, unless a line is longer.
const BLOCK_BYTES: usize = 64 << 10;
/// The memory of a decision beside its numbers.
const OVERHEAD_BYTES: usize = 256;
/// The name of the file in a folder.
const FILE_NAME: &str = "decisions.jsonl";

/// Writes decisions to a file.
pub(crate) struct DecisionLog {
    sender: Sender<Message>,
    /// The memory of the decisions that wait.
    waiting: Arc<AtomicUsize>,
    metrics: Arc<DecisionMetrics>,
}

enum Message {
    Record(Box<Record>),
    /// Everything before it is written when the sender is used.
    Flush(oneshot::Sender<()>),
}

/// A decision that waits to be written.
struct Record {
    time: SystemTime,
    policy: Option<String>,
    author: Arc<Author>,
    decision: Decision,
}

impl DecisionLog {
    /// Starts the thread that writes. The file is opened by the first decision.
    ///
    /// # Errors
    /// Fails if the thread does not start.
    pub(crate) fn start(config: &DecisionLogConfig, metrics: &Metrics) -> anyhow::Result<Arc<Self>> {
        let (sender, receiver) = channel();
        let (waiting, metrics) = (Arc::new(AtomicUsize::new(0)), Arc::new(metrics.decisions()?));
        let path = if config.path.is_dir() { config.path.join(FILE_NAME) } else { config.path.clone() };
        info!("decisions are recorded in {}", path_line(&path));
        let writer = Writer {
            file: LogFile::new(path, config.max_bytes, config.kept),
            waiting: waiting.clone(),
            metrics: metrics.clone(),
            is_failing: false,
        };
        thread::Builder::new().name("sac-decisions".to_owned()).spawn(move || writer.run(&receiver))?;
        Ok(Arc::new(DecisionLog { sender, waiting, metrics }))
    }

    /// Hands a decision over, or drops it if too many wait.
    pub(crate) fn record(&self, policy: Option<&str>, generation: &Generation, decision: Decision) {
        let Some(author) = generation.author() else { return };
        let bytes = bytes(&decision);
        if self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BYTES {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            return self.metrics.count("dropped", 1);
        }
        let policy = policy.map(str::to_owned);
        let record = Record { time: SystemTime::now(), policy, author: author.clone(), decision };
        if self.sender.send(Message::Record(Box::new(record))).is_err() {
            self.metrics.count("dropped", 1);
        }
    }

    /// Waits until the decisions so far are written, for at most this time.
    pub(crate) async fn flush(&self, time: Duration) {
        let (sender, written) = oneshot::channel();
        let _ = self.sender.send(Message::Flush(sender));
        if timeout(time, written).await.is_err() {
            warn!(
                "decisions of {} bytes are not written: their file does not take them",
                self.waiting.load(Ordering::Relaxed)
            );
        }
    }
}

struct Writer {
    file: LogFile,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<DecisionMetrics>,
    /// True since the last attempt failed. The reason was logged then.
    is_failing: bool,
}

impl Writer {
    /// Writes until all senders are gone.
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(first) = receiver.recv() {
            let (mut lines, mut count, mut taken) = (Vec::new(), 0, 0);
            let mut flushed = None;
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Record(record) => {
                        taken += bytes(&record.decision);
                        count += u64::from(record.write(&mut lines).is_ok());
                    }
                    Message::Flush(sender) => {
                        flushed = Some(sender);
                        break;
                    }
                }
                next = if lines.len() < BLOCK_BYTES { receiver.try_recv().ok() } else { None };
            }
            self.append(&lines, count);
            self.waiting.fetch_sub(taken, Ordering::Relaxed);
            if let Some(sender) = flushed {
                // Nobody waits any more if this fails.
                let _ = sender.send(());
            }
        }
    }

    fn append(&mut self, lines: &[u8], count: u64) {
        match self.file.append(lines) {
            Ok(()) => {
                self.metrics.count("written", count);
                self.is_failing = false;
            }
            Err(error) => {
                self.metrics.count("failed", count);
                if !self.is_failing {
                    warn!("decisions cannot be written, and are lost until they can: {error}");
                }
                self.is_failing = true;
            }
        }
    }
}

impl Record {
    /// Appends the decision as a line.
    fn write(&self, lines: &mut Vec<u8>) -> io::Result<()> {
        let line = Line::new(self.time, self.policy.as_deref(), &self.author, &self.decision);
        let start = lines.len();
        let written = serde_json::to_writer(&mut *lines, &line);
        match written {
            Ok(()) => lines.push(b'\n'),
            Err(_) => lines.truncate(start),
        }
        Ok(written?)
    }
}

/// Returns the memory of a decision that waits.
fn bytes(Decision { states, actions, .. }: &Decision) -> usize {
    size_of_val(states.as_slice()) + size_of_val(actions.as_slice()) + OVERHEAD_BYTES
}
