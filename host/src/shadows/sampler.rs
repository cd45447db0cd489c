//! Chooses the requests that a shadow computes too.

use std::sync::atomic::{AtomicU64, Ordering};

/// Chooses a share of all requests, in no order that a client could have.
pub(super) struct Sampler {
    /// A request is chosen if its number is below this, as a share of 2^64.
    below: u64,
    count: AtomicU64,
}

impl Sampler {
    /// Makes a sampler of a share between 0 and 1.
    pub(super) fn new(share: f64) -> Self {
        // The conversion saturates, so a share of 1 leaves one number in 2^64 out.
        Sampler { below: (share * 2f64.powi(64)) as u64, count: AtomicU64::new(0) }
    }

    pub(super) fn choose(&self) -> bool {
        mix(self.count.fetch_add(1, Ordering::Relaxed)) < self.below
    }
}

/// Mixes the bits of a counter: SplitMix64 by Sebastiano Vigna, <https://prng.di.unimi.it/splitmix64.c>.
fn mix(count: u64) -> u64 {
    let mut bits = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_that_of_any_subsequence() {
        for share in [0.0, 0.01, 0.5, 1.0] {
            let sampler = Sampler::new(share);
            let chosen = (0..40_000).map(|_| sampler.choose()).collect::<Vec<_>>();
            // Two clients that take turns, and all together.
            for (start, step) in [(0, 1), (0, 2), (1, 2)] {
                let of = chosen.iter().skip(start).step_by(step).collect::<Vec<_>>();
                let found = of.iter().filter(|chosen| ***chosen).count() as f64 / of.len() as f64;
                assert!((found - share).abs() < 0.01, "{found} instead of {share}");
            }
        }
    }
}
