//! The network in the wide vectors of a native processor.
//!
//! The code is plain arithmetic on arrays, all of it inlined into one function for each width, where LLVM makes vectors of
//! it; intrinsics were no faster. LLVM fuses no product with a sum unless the code asks for it, and this must not: nothing
//! here calls `mul_add`.

mod dots;
mod layer;
mod packed;
mod rows;
#[cfg(test)]
mod tests;

use crate::network::{MeanStep, Network};
use crate::normalisation::Normalisation;
use packed::Packed;

/// A [`Network`] packed for vectors of more than four lanes, with the normalisation before it. Threads share it.
pub struct Wide {
    normalisation: Option<Normalisation<'static>>,
    vectors: Vectors,
}

/// A network packed for the vectors of one kind of processor. It exists only where the processor has them.
enum Vectors {
    Avx512(Packed<16>),
    Avx2(Packed<8>),
}

/// The rows that go through a panel together. The sums of a tile, the weights, an input and a product must fit the 32
/// registers of AVX-512, or the 16 of AVX2.
const ROWS_AVX512: usize = 8;
const ROWS_AVX2: usize = 4;

impl Wide {
    /// Returns `true` if this processor has vectors of more than four lanes.
    pub fn is_supported() -> bool {
        is_x86_feature_detected!("avx512f") || is_x86_feature_detected!("avx2")
    }

    /// Packs a network for the widest vectors of this processor. Returns `None` if it has none wider than four lanes, if
    /// the network or the normalisation is not sound, or if a step is not plain arithmetic: libm has other bits elsewhere.
    pub fn pack(network: &Network, normalisation: Option<&Normalisation>) -> Option<Self> {
        Wide::pack_avx512(network, normalisation).or_else(|| Wide::pack_avx2(network, normalisation))
    }

    /// Packs a network for each kind of vectors that this processor has, as [`Wide::pack`] does for the first: to compare
    /// them, and to measure them.
    pub fn pack_each(network: &Network, normalisation: Option<&Normalisation>) -> Vec<Self> {
        let each = [Wide::pack_avx512(network, normalisation), Wide::pack_avx2(network, normalisation)];
        each.into_iter().flatten().collect()
    }

    fn pack_avx512(network: &Network, normalisation: Option<&Normalisation>) -> Option<Self> {
        let has_vectors = is_x86_feature_detected!("avx512f");
        has_vectors.then(|| Wide::pack_as(network, normalisation, |it| Vectors::Avx512(Packed::new(it)))).flatten()
    }

    fn pack_avx2(network: &Network, normalisation: Option<&Normalisation>) -> Option<Self> {
        let has_vectors = is_x86_feature_detected!("avx2");
        has_vectors.then(|| Wide::pack_as(network, normalisation, |it| Vectors::Avx2(Packed::new(it)))).flatten()
    }

    fn pack_as(
        network: &Network,
        normalisation: Option<&Normalisation>,
        pack: impl Fn(&Network) -> Vectors,
    ) -> Option<Self> {
        let is_sound = network.is_sound() && normalisation.is_none_or(|it| it.is_sound(network.state_dim()));
        let is_plain = !matches!(network.mean_step, Some(MeanStep::Tanh));
        let normalisation = normalisation.map(Normalisation::to_static);
        (is_sound && is_plain).then(|| Wide { normalisation, vectors: pack(network) })
    }

    /// Runs row-major states [rows, state_dim], before their normalisation. Clears `mean`, and `log_std` if it is asked
    /// for, and fills them with row-major [rows, action_dim]. `log_std` stays empty if the network has none. Each row has
    /// the bits that [`Kernel`](crate::Kernel) gives it.
    ///
    /// The time of a call is proportional to its rows, of which 32 and multiples take the least each. A caller that may be
    /// interrupted passes as many at once as it has patience for.
    pub fn run(&self, states: &[f32], mean: &mut Vec<f32>, mut log_std: Option<&mut Vec<f32>>) {
        mean.clear();
        if let Some(log_std) = &mut log_std {
            log_std.clear();
        }
        let normalised = self.normalisation.as_ref().map(|normalisation| normalisation.apply(states));
        let states = normalised.as_deref().unwrap_or(states);
        match &self.vectors {
            // SAFETY: `pack_avx512` makes this where the processor has AVX-512F.
            Vectors::Avx512(packed) => unsafe { run_avx512(packed, states, mean, log_std) },
            // SAFETY: `pack_avx2` makes this where the processor has AVX2.
            Vectors::Avx2(packed) => unsafe { run_avx2(packed, states, mean, log_std) },
        }
    }

    /// Returns the number of lanes of a vector.
    pub fn lanes(&self) -> usize {
        match &self.vectors {
            Vectors::Avx512(_) => 16,
            Vectors::Avx2(_) => 8,
        }
    }

    /// Returns the memory that this holds, in bytes. It may be several times that of the weights, since layers of few outputs
    /// are filled up with zeros. A call of [`Wide::run`] takes that of 8 to 32 rows of the widest layer besides, twice.
    pub fn bytes(&self) -> usize {
        let normalisation = self.normalisation.as_ref().map_or(0, |it| size_of_val(&*it.mean) + size_of_val(&*it.std));
        let vectors = match &self.vectors {
            Vectors::Avx512(packed) => packed.bytes(),
            Vectors::Avx2(packed) => packed.bytes(),
        };
        size_of::<Self>() + normalisation + vectors
    }
}

#[target_feature(enable = "avx512f")]
fn run_avx512(packed: &Packed<16>, states: &[f32], mean: &mut Vec<f32>, log_std: Option<&mut Vec<f32>>) {
    packed.run::<ROWS_AVX512>(states, mean, log_std);
}

#[target_feature(enable = "avx2")]
fn run_avx2(packed: &Packed<8>, states: &[f32], mean: &mut Vec<f32>, log_std: Option<&mut Vec<f32>>) {
    packed.run::<ROWS_AVX2>(states, mean, log_std);
}
