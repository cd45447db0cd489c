//! Clients that misbehave. Each kind has a thread, and checks that the server cuts it off soon.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use sac_tests::Connection;

use crate::Soak;
use crate::folder::STATE;
use crate::server::request;

/// The server's limits are 3 s; the machine is busy.
const LONG_ENOUGH: Duration = Duration::from_secs(20);

/// Misbehaves until the soak is over.
pub type Nuisance = fn(&Soak);

/// All kinds, by their names.
pub const ALL: [(&str, Nuisance); 7] = [
    ("silent", silent),
    ("slow", slow),
    ("deaf", deaf),
    ("fickle", fickle),
    ("greedy", greedy),
    ("crowd", crowd),
    ("wrong", wrong),
];

/// Connects and sends nothing, half a head, or half a body, ten at once.
pub fn silent(soak: &Soak) {
    let whole = request("POST", "/sac/predict", "", STATE);
    let parts = [0, 20, whole.len() - 5];
    again(soak, "silent client cut off", |soak| {
        let mut connections = Vec::new();
        for index in 0..10 {
            let mut connection = Connection::open(soak.server.address)?;
            connection.send(&whole[..parts[index % parts.len()]])?;
            connections.push(connection);
        }
        connections.iter_mut().try_for_each(Connection::read_to_end)
    });
}

/// Sends its body byte by byte.
pub fn slow(soak: &Soak) {
    let whole = request("POST", "/sac/predict", "", STATE);
    again(soak, "slow client cut off", |soak| {
        let mut connection = Connection::open(soak.server.address)?;
        let body = whole.len() - STATE.len();
        connection.send(&whole[..body])?;
        for byte in &whole[body..] {
            if connection.send(&[*byte]).is_err() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(500));
        }
        connection.read_to_end()
    });
}

/// Asks for more than the buffers hold, and reads nothing.
pub fn deaf(soak: &Soak) {
    let states = vec!["[0.3,-0.4,0.5]"; 4000].join(",");
    let large = request("POST", "/sac/predict/batch", "", &format!("{{\"states\":[{states}]}}"));
    again(soak, "deaf client cut off", |soak| {
        let mut connection = Connection::open(soak.server.address)?;
        while connection.send(&large).is_ok() {}
        thread::sleep(Duration::from_secs(1));
        Ok(())
    });
}

/// Goes away before its answer comes, or sends three requests at once.
pub fn fickle(soak: &Soak) {
    let predict = request("POST", "/sac/predict", "", STATE);
    let benchmark = request("POST", "/sac/benchmark", "", r#"{"iterations":2000}"#);
    let three = predict.repeat(3);
    again(soak, "fickle client gone, three at once answered", |soak| {
        for _ in 0..20 {
            Connection::open(soak.server.address)?.send(&predict)?;
        }
        Connection::open(soak.server.address)?.send(&benchmark)?;
        let mut connection = Connection::open(soak.server.address)?;
        connection.send(&three)?;
        for _ in 0..3 {
            let answer = connection.receive()?;
            if answer.status != 200 {
                soak.record.unexpected(format!("of three at once: {} {}", answer.status, answer.text()));
            }
        }
        thread::sleep(Duration::from_millis(200));
        Ok(())
    });
}

/// Asks for benchmarks of a minute and for reloads, and goes away.
pub fn greedy(soak: &Soak) {
    let benchmark = request("POST", "/sac/benchmark", "", r#"{"iterations":100000,"batch_size":40}"#);
    let reload = request("POST", "/sac/model/reload", "", "");
    again(soak, "greedy client gone", |soak| {
        for asked in [&benchmark, &reload] {
            for _ in 0..10 {
                Connection::open(soak.server.address)?.send(asked)?;
            }
        }
        thread::sleep(Duration::from_millis(300));
        Ok(())
    });
}

/// Connects hundreds of times, and asks for nothing.
pub fn crowd(soak: &Soak) {
    again(soak, "crowd gone", |soak| {
        let connections = (0..300).map(|_| Connection::open(soak.server.address)).collect::<io::Result<Vec<_>>>()?;
        thread::sleep(Duration::from_millis(200));
        drop(connections);
        Ok(())
    });
}

/// Sends a large body that is wrong everywhere.
pub fn wrong(soak: &Soak) {
    let body = format!("{{\"state\":[{}0]}}", "{\"\":0},".repeat(1 << 19));
    let bodies = ["/sac/predict", "/sac/benchmark"].map(|path| request("POST", path, "", &body));
    again(soak, "large wrong body refused", |soak| {
        for body in &bodies {
            let answer = Connection::open(soak.server.address)?.ask(body)?;
            if !matches!(answer.status, 200 | 422 | 503) {
                soak.record.unexpected(format!("a wrong body: {} {}", answer.status, answer.text()));
            }
        }
        Ok(())
    });
}

fn again(soak: &Soak, what: &'static str, mut once: impl FnMut(&Soak) -> io::Result<()>) {
    while soak.goes_on() {
        let (life, start) = (soak.server.life(), Instant::now());
        match once(soak) {
            Ok(()) => {
                soak.record.count(what);
                if start.elapsed() > LONG_ENOUGH {
                    soak.record.unexpected(format!("{what} after {:?} only", start.elapsed()));
                }
            }
            Err(_) if !life.is_multiple_of(2) || soak.server.life() != life => {
                thread::sleep(Duration::from_millis(100));
            }
            // The server closed the connection while the client was slow.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                soak.record.count(what);
            }
            Err(error) => soak.record.unexpected(format!("{what}: {error}")),
        }
    }
}
