//! The activations, four lanes at a time. An error below is the largest absolute one against f64 over [-30, 30], steps
//! of 1e-5. NaN stays NaN, and ±inf goes to the limit.

use super::simd::F32x4;
use crate::model::mlp::Activation;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

pub(super) fn apply(activation: Activation, values: &mut [F32x4]) {
    match activation {
        Activation::Relu => each(values, |x| x.or_above(F32x4::splat(0.0))),
        Activation::LeakyRelu => {
            each(values, |x| x.if_negative(x.times(F32x4::splat(Activation::LEAKY_SLOPE)), x));
        }
        Activation::Elu => each(values, elu),
        Activation::Silu => each(values, silu),
        Activation::Gelu => each(values, gelu),
        Activation::Tanh => each(values, tanh),
        Activation::Sigmoid => each(values, sigmoid),
    }
}

#[inline(always)]
fn each(values: &mut [F32x4], f: impl Fn(F32x4) -> F32x4) {
    for value in values {
        *value = f(*value);
    }
}

/// By Horner, the coefficient of the highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: F32x4, coefficients: [f32; N]) -> F32x4 {
    let mut sum = F32x4::splat(coefficients[0]);
    for next in &coefficients[1..] {
        sum = F32x4::splat(*next).plus_product(sum, x);
    }
    sum
}

/// e^x as scale * (1 + p), with x taken into [-87, 87], where scale and result are normal numbers. From Cephes' expf:
/// x is n ln 2 + r, and p its polynomial of r; ln 2 is split so that n times its first part is exact.
#[inline(always)]
fn exp_parts(x: F32x4) -> (F32x4, F32x4) {
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // To add 1.5 * 2^23 is to round to an integer, found in the lowest mantissa bits; 127 is the bias of the exponent.
    const SHIFT: f32 = 12_582_912.0 + 127.0;
    let splat = F32x4::splat;
    let x = x.or_above(splat(-87.0)).or_below(splat(87.0));
    let shifted = splat(SHIFT).plus_product(x, splat(LOG2_E));
    let n = shifted.minus(splat(SHIFT));
    let r = x.plus_product(n, splat(-LN_2[0])).plus_product(n, splat(-LN_2[1]));
    let p = polynomial(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    (shifted.mantissa_as_exponent(), r.plus_product(p, r.times(r)))
}

#[inline(always)]
fn exp(x: F32x4) -> F32x4 {
    let (scale, p) = exp_parts(x);
    scale.plus_product(scale, p)
}

#[inline(always)]
fn one_plus_exp_of_minus(x: F32x4) -> F32x4 {
    F32x4::splat(1.0).plus(exp(F32x4::splat(0.0).minus(x)))
}

/// By [`exp_parts`], of which p alone is left near 0 and keeps its relative precision. Error: 4.3e-8.
#[inline(always)]
fn elu(x: F32x4) -> F32x4 {
    let (scale, p) = exp_parts(x);
    x.if_negative(scale.minus(F32x4::splat(1.0)).plus_product(scale, p), x)
}

/// Error: 9e-8.
#[inline(always)]
fn sigmoid(x: F32x4) -> F32x4 {
    F32x4::splat(1.0).over(one_plus_exp_of_minus(x))
}

/// A quotient, as a product with the sigmoid rounds once more, which counts where x is large. Below -87, where -inf
/// would become NaN, it stays at -1e-36. Error: 1.3e-6, which is the rounding of numbers around 14.
#[inline(always)]
fn silu(x: F32x4) -> F32x4 {
    let x = x.or_above(F32x4::splat(-87.0));
    x.over(one_plus_exp_of_minus(x))
}

/// max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, which unlike x (1 + erf) / 2 rounds nothing away where |x| is large. The
/// erfc is Abramowitz and Stegun's 7.1.26; |x| ends at 13, where it is 0, for inf * 0 would be NaN. Error: 3.4e-7.
#[inline(always)]
fn gelu(x: F32x4) -> F32x4 {
    let splat = F32x4::splat;
    let a = x.abs().or_below(splat(13.0));
    let t = splat(1.0).over(splat(1.0).plus_product(a, splat(0.327_591_1 * FRAC_1_SQRT_2)));
    let p = polynomial(t, [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6]);
    let erfc = p.times(t).times(exp(a.times(a).times(splat(-0.5))));
    x.or_above(splat(0.0)).plus_product(a.times(splat(-0.5)), erfc)
}

/// The odd rational function of Eigen's `generic_fast_tanh_float`, x p(x^2) / q(x^2), which keeps the relative precision
/// near 0. At ±9, where tanh is ±1 in f32, it may miss that by a bit, hence the last limits. Error: 4.2e-7.
#[inline(always)]
fn tanh(x: F32x4) -> F32x4 {
    let splat = F32x4::splat;
    let x = x.or_above(splat(-9.0)).or_below(splat(9.0));
    let square = x.times(x);
    let high = [-2.760_768_4e-16, 2.000_188e-13, -8.604_672e-11];
    let low = [5.122_297_3e-8, 1.485_722_35e-5, 6.372_619_3e-4, 4.893_524_6e-3];
    let p = polynomial(square, [high[0], high[1], high[2], low[0], low[1], low[2], low[3]]);
    let q = polynomial(square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3]);
    x.times(p).over(q).or_above(splat(-1.0)).or_below(splat(1.0))
}
