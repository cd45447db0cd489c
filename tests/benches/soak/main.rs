//! The program under all that it promises to withstand, for as long as one likes: `cargo bench -p sac-tests --bench soak -- --minutes 20`.
//!
//! Clients ask every route, rightly and wrongly, while checkpoints of all formats are swapped, broken and hostile ones come
//! and go, others connect and send slowly, do not read, or vanish; the program is killed now and then, and stopped once.
//! Every action is compared with what its checkpoint gives, and every answer has to come from a checkpoint at least as new as
//! the one that was there when its request began. Anything else is unexpected, and the exit status is 1.

mod clients;
mod folder;
mod nuisance;
#[path = "../program/mod.rs"]
mod program;
mod record;
mod server;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::folder::Folder;
use crate::record::Record;
use crate::server::Server;

const CLIENTS: u64 = 6;

/// The state that all threads share.
pub struct Soak {
    server: Server,
    folder: Folder,
    record: Record,
    over: AtomicBool,
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::Relaxed)
    }
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut minutes, mut kills) = (20.0, true);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--minutes" => minutes = arguments.next().context("--minutes N")?.parse()?,
            // A single process shows best that its memory stays flat.
            "--without-kills" => kills = false,
            // Cargo's own.
            "--bench" => {}
            other => bail!("{other}: `--minutes N` and `--without-kills` are known"),
        }
    }
    program::build()?;
    let folder = Folder::new()?;
    let soak = Soak { server: Server::start(folder.path())?, folder, record: Record::default(), over: false.into() };
    soak.folder.learn(&soak.server)?;
    run(&soak, Duration::from_secs_f64(minutes * 60.0), kills)?;
    let fine = soak.record.report(&soak.server, soak.folder.published());
    if !fine {
        std::process::exit(1);
    }
    Ok(())
}

fn run(soak: &Soak, time: Duration, kills: bool) -> Result<()> {
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || clients::ask(soak, number));
        }
        let nuisances = [nuisance::slow, nuisance::deaf, nuisance::fickle, nuisance::silent];
        for nuisance in nuisances {
            scope.spawn(move || nuisance(soak));
        }
        let swaps = scope.spawn(|| soak.folder.swap_until_over(soak));
        let outcome = manage(soak, end, time, kills);
        soak.over.store(true, Ordering::Relaxed);
        swaps.join().expect("a swap does not panic")?;
        outcome
    })
}

/// Records the state of the process now and then. If `kill` is set, kills it after a fifth of the time and then every five
/// minutes, and stops it once after three fifths.
fn manage(soak: &Soak, end: Instant, time: Duration, kill: bool) -> Result<()> {
    let start = end - time;
    let mut kills = start + time / 5;
    let mut stop = Some(start + time * 3 / 5);
    while Instant::now() < end {
        soak.record.look(&soak.server, start.elapsed())?;
        thread::sleep((time / 60).min(Duration::from_secs(10)));
        let now = Instant::now();
        if kill && now >= kills {
            kills = now + Duration::from_secs(300).max(time / 5);
            soak.server.kill(soak)?;
        }
        if kill && stop.is_some_and(|at| now >= at) {
            stop = None;
            soak.server.stop(soak)?;
        }
    }
    soak.record.look(&soak.server, start.elapsed())
}
