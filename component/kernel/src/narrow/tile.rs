//! The inner loop: products of weights and inputs, summed for a tile of outputs and rows.

use std::ptr::with_exposed_provenance;

use super::simd::F32x4;
use crate::vector::Vector;

/// The vectors of a panel of weights.
///
/// Cranelift issues all loads of a stretch of code without branches before it computes anything. The sums, the weights
/// and the inputs of a step must therefore fit the 16 registers of x86 at once. 8 + 2 + 4 do, and so do 6 + 6 + 1 for
/// three panels and a single row.
pub const WIDTH: usize = 2;
/// The rows that go through a panel together.
pub const ROWS: usize = 4;

/// The steps of one round of the loop. A host that interrupts by epochs checks for it in each round, and the sums are
/// stored and loaded around the check. Rounds of one step would take more than twice the time.
const ROUND: usize = 32;

/// Adds the products of up to three panels to `sums`, one step for each item of `x`, in its order.
///
/// The steps are spelled out for three reasons. Each ends in a branch that carries the sums, so they are computed before
/// the next step's loads. The offsets of the loads are constants within a round; this holds only while LLVM cannot follow
/// the addresses, since its loop strength reduction would add an instruction to every load, so the addresses are
/// integers. And the code must not contain `zip` or closures, since core's part of them may not be inlined from another
/// codegen unit.
#[inline(always)]
pub fn accumulate<const P: usize, const C: usize, const R: usize>(
    mut sums: [[[F32x4; R]; C]; P],
    panels: [&[[F32x4; C]]; P],
    x: &[[F32x4; R]],
) -> [[[F32x4; R]; C]; P] {
    assert!(P <= 3 && panels.iter().all(|panel| panel.len() == x.len()));
    let mut left = x.len();
    // A missing panel repeats another one; its address is then unused and optimised away.
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

/// Returns the item `index` places after the one at `address`.
///
/// # Safety
///
/// `address` is the exposed address of an item of a slice that is borrowed for `'a`, and at least `index` more items
/// follow it.
#[inline(always)]
unsafe fn item<'a, T>(address: usize, index: usize) -> &'a T {
    // SAFETY: the caller ensures that the item is within the slice.
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
