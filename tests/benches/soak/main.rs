//! The program under all that it promises to withstand, for as long as one likes: `cargo bench -p sac-tests --bench soak -- --minutes 20`.
//!
//! Clients ask every route, rightly and wrongly, while checkpoints of all formats are swapped, broken and hostile ones come
//! and go, others connect and send slowly, do not read, or vanish; the program is killed now and then, and stopped once.
//! Every action is compared with what its checkpoint gives, and every answer has to come from a checkpoint at least as new as
//! the one that was there when its request began. Anything else is unexpected, and the exit status is 1.
//!
//! With `--phases`, each nuisance has some time for itself, and the latencies of its neighbours are compared with those of a
//! quiet server in the same run.

mod clients;
mod folder;
mod nuisance;
mod phases;
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
    let (mut minutes, mut kills, mut phases) = (20.0, true, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--minutes" => minutes = arguments.next().context("--minutes N")?.parse()?,
            // A single process shows best that its memory stays flat.
            "--without-kills" => kills = false,
            "--phases" => phases = true,
            // Cargo's own.
            "--bench" => {}
            other => bail!("{other}: `--minutes N`, `--without-kills` and `--phases` are known"),
        }
    }
    program::build()?;
    let folder = Folder::new()?;
    let soak = Soak { server: Server::start(folder.path())?, folder, record: Record::default(), over: false.into() };
    soak.folder.learn(&soak.server)?;
    let time = Duration::from_secs_f64(minutes * 60.0);
    if phases {
        return phases::run(&soak, time);
    }
    run(&soak, time, kills)?;
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
        for (_, nuisance) in nuisance::ALL {
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
