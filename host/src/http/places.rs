//! The places for connections: a share for each address, and a few that are kept for health checks.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::http::config::HttpConfig;

/// The number of connections beyond the limit that may ask for health and metrics.
const SPARE: usize = 16;
/// The number of those that one address may have.
const SPARE_PER_ADDRESS: usize = 8;

/// The places for connections.
///
/// A connection that has not asked for anything yet gives way, the oldest first, when there is no other place for a new one.
/// So nobody can keep others out by connections alone.
pub(crate) struct Places {
    max: usize,
    max_per_address: usize,
    /// Locked when a connection begins, asks for the first time, or ends.
    taken: Mutex<Taken>,
    emptied: Notify,
}

#[derive(Default)]
struct Taken {
    /// The number of connections that took a place so far.
    number: u64,
    clients: usize,
    spare: usize,
    by_address: HashMap<IpAddr, Held>,
    /// The connections that have not asked for anything, by their numbers.
    silent: BTreeMap<u64, Silent>,
}

/// The places that one address holds.
#[derive(Default)]
struct Held {
    clients: usize,
    spare: usize,
}

/// A connection that has not asked for anything.
struct Silent {
    address: IpAddr,
    /// `None` for the moment until its task runs.
    task: Option<AbortHandle>,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    address: IpAddr,
    pub(crate) number: u64,
    /// True if the connection may ask for health and metrics only.
    pub(crate) is_spare: bool,
    has_asked: AtomicBool,
}

impl Places {
    pub(crate) fn new(config: &HttpConfig) -> Arc<Self> {
        let max = config.max_connections.max(1);
        let max_per_address = config.per_address();
        Arc::new(Places { max, max_per_address, taken: Mutex::default(), emptied: Notify::new() })
    }

    /// Takes a place for a client. Returns `None` if there is none, not even a spare one.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let address = network(client);
        let mut taken = self.lock();
        let held = taken.by_address.get(&address).map_or((0, 0), |held| (held.clients, held.spare));
        let is_full = taken.clients >= self.max;
        let is_over_share = held.0 >= self.max_per_address;
        let gave_way = (is_full || is_over_share) && taken.evict(is_over_share.then_some(address));
        let is_spare = (is_full || is_over_share) && !gave_way;
        if is_spare && (taken.spare >= SPARE || held.1 >= SPARE_PER_ADDRESS) {
            return None;
        }
        taken.number += 1;
        let number = taken.number;
        taken.count(address, is_spare);
        if !is_spare {
            taken.silent.insert(number, Silent { address, task: None });
        }
        drop(taken);
        Some(Place { places: self.clone(), address, number, is_spare, has_asked: AtomicBool::new(false) })
    }

    /// Names the task that serves a connection.
    pub(crate) fn serve(&self, number: u64, task: AbortHandle) {
        // It may have asked or ended already.
        if let Some(silent) = self.lock().silent.get_mut(&number) {
            silent.task = Some(task);
        }
    }

    /// Returns when no place is taken.
    pub(crate) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().by_address.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // A panic cannot leave the numbers half changed.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Ends the oldest connection that has not asked for anything, of one address or of all. Returns `false` if there is none.
    fn evict(&mut self, address: Option<IpAddr>) -> bool {
        let is_one = |silent: &Silent| silent.task.is_some() && address.is_none_or(|address| silent.address == address);
        let Some(number) = self.silent.iter().find(|(_, silent)| is_one(silent)).map(|(number, _)| *number) else {
            return false;
        };
        if let Some(Silent { address, task }) = self.silent.remove(&number) {
            task.inspect(AbortHandle::abort);
            self.discount(address, false);
        }
        true
    }

    fn count(&mut self, address: IpAddr, is_spare: bool) {
        let held = self.by_address.entry(address).or_default();
        let (all, own) =
            if is_spare { (&mut self.spare, &mut held.spare) } else { (&mut self.clients, &mut held.clients) };
        *all += 1;
        *own += 1;
    }

    fn discount(&mut self, address: IpAddr, is_spare: bool) {
        let Some(held) = self.by_address.get_mut(&address) else { return };
        let (all, own) =
            if is_spare { (&mut self.spare, &mut held.spare) } else { (&mut self.clients, &mut held.clients) };
        *all -= 1;
        *own -= 1;
        if held.clients + held.spare == 0 {
            self.by_address.remove(&address);
        }
    }
}

impl Place {
    /// Records that the connection asks for something.
    pub(crate) fn ask(&self) {
        if !self.is_spare && !self.has_asked.load(Ordering::Relaxed) {
            let was_silent = self.places.lock().silent.remove(&self.number).is_some();
            // Otherwise it has given way, and ends.
            self.has_asked.store(was_silent, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let has_given_way = !self.is_spare && !*self.has_asked.get_mut() && taken.silent.remove(&self.number).is_none();
        if !has_given_way {
            taken.discount(self.address, self.is_spare);
        }
        if taken.by_address.is_empty() {
            self.places.emptied.notify_waiters();
        }
    }
}

/// Returns the address that has a share. A client with IPv6 usually has a whole network of 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests;
