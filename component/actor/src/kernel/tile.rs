//! What the inner loops of trunk and heads share.

use super::simd::F32x4;
use std::{marker::PhantomData, ptr::with_exposed_provenance};

/// Vectors of weights in a step, and rows of inputs. Cranelift loads all that a loop's body reads before it computes
/// anything, so the sums, the weights and the inputs of one step must fit the 16 registers of x86 at once, as 9 + 3 + 3
/// do and, for two panels and one row, 6 + 6 + 1. One more sum in memory is waited for in each step: twice the time.
pub const WIDTH: usize = 3;
pub const ROWS: usize = 3;

/// One step's products, added to the sums. Plain indices, here and in what runs as often: `zip` makes calls that are
/// only inlined where the whole crate is one codegen unit, and so costs up to 60 times as much elsewhere.
#[inline(always)]
pub fn step<const C: usize, const R: usize>(sums: &mut [[F32x4; R]; C], weights: &[F32x4; C], x: &[F32x4; R]) {
    for c in 0..C {
        for r in 0..R {
            sums[c][r] = sums[c][r].plus_product(weights[c], x[r]);
        }
    }
}

/// The items of three slices of one length, in turn; the second slice may be the first again.
///
/// It counts addresses as integers. LLVM rewrites pointers whose course it can follow (loop strength reduction), and
/// what it makes of them no longer fits the constant offset of a wasm load: an instruction more for every load, which
/// is 10 to 20 % of the time.
pub struct Along<'a, A, B> {
    a: usize,
    b: usize,
    x: usize,
    end: usize,
    slices: PhantomData<(&'a [A], &'a [B])>,
}

impl<'a, A, B> Along<'a, A, B> {
    #[inline(always)]
    pub fn new(a: &'a [A], b: &'a [A], x: &'a [B]) -> Self {
        assert!(a.len() == x.len() && b.len() == x.len());
        let (a, b) = (a.as_ptr().expose_provenance(), b.as_ptr().expose_provenance());
        let from = x.as_ptr().expose_provenance();
        Self { a, b, x: from, end: from + size_of_val(x), slices: PhantomData }
    }

    /// Calls `f` with them. A host that can stop its guests (wasmtime's epochs) asks at every turn of a loop whether to,
    /// and so keeps all sums in memory there: many steps make one turn, each of them a block of its own, whose loads
    /// stay in it. That halves the time.
    #[inline(always)]
    pub fn each(mut self, mut f: impl FnMut(&'a A, &'a A, &'a B)) {
        macro_rules! steps {
            ($($_step:literal)*) => {
                loop {$(
                    let _ = $_step;
                    let Some((a, b, x)) = self.next() else { break };
                    f(a, b, x);
                )*}
            };
        }
        steps!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
    }

    #[inline(always)]
    fn next(&mut self) -> Option<(&'a A, &'a A, &'a B)> {
        if self.x == self.end {
            return None;
        }
        // SAFETY: the addresses are those of items of the three slices with one and the same index, which is below
        // their common length, and the slices are borrowed for as long as the items.
        let items = unsafe {
            (&*with_exposed_provenance(self.a), &*with_exposed_provenance(self.b), &*with_exposed_provenance(self.x))
        };
        self.a += size_of::<A>();
        self.b += size_of::<A>();
        self.x += size_of::<B>();
        Some(items)
    }
}
