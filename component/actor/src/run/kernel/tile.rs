//! The inner loop: products of weights and inputs, summed for a tile of outputs and rows.

use super::simd::F32x4;
use std::ptr::with_exposed_provenance;

/// Vectors in a panel of weights, and rows that go through it together. Cranelift loads all that a stretch of code
/// without branches reads before it computes anything, so the sums, the weights and the inputs of a step have to fit
/// the 16 registers of x86 at once: as 8 + 2 + 4 do and, for three panels and a single row, 6 + 6 + 1.
pub const WIDTH: usize = 2;
pub const ROWS: usize = 4;

/// Steps between two rounds of the loop. A host that interrupts by epochs checks them in each round, and as that check
/// may call out, all sums are then stored and loaded again. A round of one step takes more than twice the time.
const ROUND: usize = 32;

/// Adds to `sums` the products of up to three panels, one step for each item of `x`, in its order.
///
/// The steps are spelled out, for three reasons. Each ends in a branch that takes the sums along, so that they have to
/// be computed before the next step's loads. The offsets of a round's loads are constants, which they are only as long
/// as LLVM cannot follow the addresses: it would rewrite them (loop strength reduction) to sums of its own, which are an
/// instruction more for every load; integers hide them. And `zip` or closures, of which core's part is not inlined from
/// another codegen unit, may not be in here.
#[inline(always)]
pub fn accumulate<const P: usize, const C: usize, const R: usize>(
    mut sums: [[[F32x4; R]; C]; P],
    panels: [&[[F32x4; C]]; P],
    x: &[[F32x4; R]],
) -> [[[F32x4; R]; C]; P] {
    assert!(P <= 3 && panels.iter().all(|panel| panel.len() == x.len()));
    let mut left = x.len();
    // Panels that are not there repeat others, and their addresses are dropped as unused.
    let [mut a, mut b, mut c] = [0, 1 % P, 2 % P].map(|p| panels[p].as_ptr().expose_provenance());
    let mut x = x.as_ptr().expose_provenance();
    macro_rules! steps {
        ($($step:literal)*) => {
            $(
                if left == $step {
                    break;
                }
                // SAFETY: `left` counts the items from these addresses to the end of each slice, and as it is more than
                // 0 in all and none of the numbers up to this step's, there is one at the step's index.
                unsafe {
                    step(&mut sums[0], item(a, $step), item(x, $step));
                    if P > 1 {
                        step(&mut sums[1 % P], item(b, $step), item(x, $step));
                    }
                    if P > 2 {
                        step(&mut sums[2 % P], item(c, $step), item(x, $step));
                    }
                }
            )*
        };
    }
    loop {
        steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
        left -= ROUND;
        a += ROUND * size_of::<[F32x4; C]>();
        b += ROUND * size_of::<[F32x4; C]>();
        c += ROUND * size_of::<[F32x4; C]>();
        x += ROUND * size_of::<[F32x4; R]>();
    }
    sums
}

/// # Safety
///
/// `address` is that of an item of a slice, exposed, which is borrowed for `'a` and has `index` more items after it.
#[inline(always)]
unsafe fn item<'a, T>(address: usize, index: usize) -> &'a T {
    // SAFETY: as above.
    unsafe { &*with_exposed_provenance::<T>(address).add(index) }
}

#[inline(always)]
fn step<const C: usize, const R: usize>(sums: &mut [[F32x4; R]; C], weights: &[F32x4; C], x: &[F32x4; R]) {
    for c in 0..C {
        for r in 0..R {
            sums[c][r] = sums[c][r].plus_product(weights[c], x[r]);
        }
    }
}
