//! The activations, some lanes at a time. NaN stays NaN, and ±inf gives the limit. "Error" below is the largest absolute
//! difference from f64 over [-30, 30] in steps of 1e-5.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use crate::vector::Vector;

/// An activation function, in PyTorch's default form.
#[allow(missing_docs, reason = "the names are those of PyTorch")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    LeakyRelu,
    Elu,
    Silu,
    /// The exact form, by the error function.
    Gelu,
    Tanh,
    Sigmoid,
    Relu6,
    Selu,
    Celu,
    Mish,
    Softplus,
    Hardswish,
}

impl Activation {
    /// Every activation, the usual ones first.
    pub const ALL: [Activation; 13] = [
        Activation::Relu,
        Activation::Tanh,
        Activation::Elu,
        Activation::Silu,
        Activation::Gelu,
        Activation::LeakyRelu,
        Activation::Selu,
        Activation::Mish,
        Activation::Sigmoid,
        Activation::Softplus,
        Activation::Hardswish,
        Activation::Celu,
        Activation::Relu6,
    ];

    /// The slope of a LeakyReLU for negative inputs, which is PyTorch's default.
    pub const LEAKY_SLOPE: f32 = 0.01;

    /// The scale and the alpha of SELU (Klambauer et al., 2017).
    pub const SELU: [f32; 2] = [1.050_701, 1.673_263_2];
}

/// Applies an activation in place. All of it is inlined: a function for wide vectors must contain what it calls.
#[inline(always)]
pub fn apply<V: Vector>(activation: Activation, values: &mut [V]) {
    match activation {
        Activation::Relu => each(values, |x| x.or_above(V::splat(0.0))),
        Activation::LeakyRelu => {
            each(values, |x| x.if_negative(x.times(V::splat(Activation::LEAKY_SLOPE)), x));
        }
        Activation::Elu => each(values, elu),
        Activation::Silu => each(values, silu),
        Activation::Gelu => each(values, gelu),
        Activation::Tanh => each(values, tanh),
        Activation::Sigmoid => each(values, sigmoid),
        Activation::Relu6 => each(values, |x| x.or_above(V::splat(0.0)).or_below(V::splat(6.0))),
        Activation::Selu => each(values, selu),
        // With PyTorch's alpha of 1, CELU is ELU.
        Activation::Celu => each(values, elu),
        Activation::Mish => each(values, mish),
        Activation::Softplus => each(values, softplus),
        Activation::Hardswish => each(values, hardswish),
    }
}

#[inline(always)]
fn each<V: Vector>(values: &mut [V], f: impl Fn(V) -> V) {
    for value in values {
        *value = f(*value);
    }
}

/// Evaluates a polynomial by Horner's scheme. The coefficient of the highest power comes first.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut sum = V::splat(coefficients[0]);
    for next in &coefficients[1..] {
        sum = V::splat(*next).plus_product(sum, x);
    }
    sum
}

/// Returns `scale` and `p` with e^x = scale * (1 + p). x is clamped to [-87, 87], where scale and result are normal
/// numbers. After Cephes' expf: x = n ln 2 + r, and p is a polynomial in r. ln 2 is split in two so that n times its first
/// part is exact.
#[inline(always)]
fn exp_parts<V: Vector>(x: V) -> (V, V) {
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Adding 1.5 * 2^23 rounds to an integer, which is then in the lowest mantissa bits. 127 is the exponent's bias.
    const SHIFT: f32 = 12_582_912.0 + 127.0;
    let splat = V::splat;
    let x = x.or_above(splat(-87.0)).or_below(splat(87.0));
    let shifted = splat(SHIFT).plus_product(x, splat(LOG2_E));
    let n = shifted.minus(splat(SHIFT));
    let r = x.plus_product(n, splat(-LN_2[0])).plus_product(n, splat(-LN_2[1]));
    let p = polynomial(r, [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5]);
    (shifted.mantissa_as_exponent(), r.plus_product(p, r.times(r)))
}

#[inline(always)]
fn exp<V: Vector>(x: V) -> V {
    let (scale, p) = exp_parts(x);
    scale.plus_product(scale, p)
}

#[inline(always)]
fn one_plus_exp_of_minus<V: Vector>(x: V) -> V {
    V::splat(1.0).plus(exp(V::splat(0.0).minus(x)))
}

/// scale - 1 + scale * p by [`exp_parts`]. Near 0 scale is 1 and p keeps its relative precision. Error: 4.3e-8.
#[inline(always)]
fn elu<V: Vector>(x: V) -> V {
    let (scale, p) = exp_parts(x);
    x.if_negative(scale.minus(V::splat(1.0)).plus_product(scale, p), x)
}

/// 1 / (1 + e^-x). Error: 9e-8.
#[inline(always)]
fn sigmoid<V: Vector>(x: V) -> V {
    V::splat(1.0).over(one_plus_exp_of_minus(x))
}

/// x / (1 + e^-x). The product with the sigmoid would round once more, which matters for large x. Below -87 the result
/// stays at -1e-36, since -inf would become NaN. Error: 1.3e-6, the rounding of numbers around 14.
#[inline(always)]
fn silu<V: Vector>(x: V) -> V {
    let x = x.or_above(V::splat(-87.0));
    x.over(one_plus_exp_of_minus(x))
}

/// max(x, 0) - |x| erfc(|x| / sqrt 2) / 2, which loses no digits for large |x|, as x (1 + erf) / 2 would. erfc is formula
/// 7.1.26 of Abramowitz and Stegun. |x| is clamped to 13, where erfc is 0, since inf * 0 would be NaN. Error: 3.4e-7.
#[inline(always)]
fn gelu<V: Vector>(x: V) -> V {
    let splat = V::splat;
    let a = x.abs().or_below(splat(13.0));
    let t = splat(1.0).over(splat(1.0).plus_product(a, splat(0.327_591_1 * FRAC_1_SQRT_2)));
    let p = polynomial(t, [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6]);
    let erfc = p.times(t).times(exp(a.times(a).times(splat(-0.5))));
    x.or_above(splat(0.0)).plus_product(a.times(splat(-0.5)), erfc)
}

/// scale · x, or scale · alpha · (e^x - 1) for negative inputs. Error: 7.7e-7, the rounding of numbers around 30.
#[inline(always)]
fn selu<V: Vector>(x: V) -> V {
    let [scale, alpha] = Activation::SELU;
    let (power, p) = exp_parts(x);
    let negative = power.minus(V::splat(1.0)).plus_product(power, p).times(V::splat(scale * alpha));
    x.if_negative(negative, x.times(V::splat(scale)))
}

/// x · tanh(ln(1 + e^x)) = x · w / (w + 2) with w = e^x (e^x + 2), which needs no logarithm. Above 20 it is x; e^x is
/// limited there, so that w does not overflow. Below -87 the result stays at -1e-36, since -inf would become NaN.
#[inline(always)]
fn mish<V: Vector>(x: V) -> V {
    let x = x.or_above(V::splat(-87.0));
    let power = exp(x.or_below(V::splat(20.0)));
    let two = V::splat(2.0);
    let w = power.times(power.plus(two));
    x.times(w.over(w.plus(two)))
}

/// max(x, 0) + ln(1 + t) with t = e^-|x|. ln(1 + t) is 2 atanh(z) with z = t / (2 + t), which is at most 1/3; the series
/// of atanh ends where its terms are below 1e-8.
#[inline(always)]
fn softplus<V: Vector>(x: V) -> V {
    let splat = V::splat;
    let t = exp(splat(0.0).minus(x.abs()));
    let z = t.over(t.plus(splat(2.0)));
    let series =
        polynomial(z.times(z), [1.0 / 15.0, 1.0 / 13.0, 1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0]);
    x.or_above(splat(0.0)).plus_product(z.plus(z), series)
}

/// x · min(max(x + 3, 0), 6) / 6. Below -3 it is 0; x is limited there, since -inf · 0 would be NaN.
#[inline(always)]
fn hardswish<V: Vector>(x: V) -> V {
    let splat = V::splat;
    let x = x.or_above(splat(-3.0));
    x.times(x.plus(splat(3.0)).or_below(splat(6.0)).times(splat(1.0 / 6.0)))
}

/// The odd rational function x p(x^2) / q(x^2) of Eigen's `generic_fast_tanh_float`, which keeps the relative precision
/// near 0. tanh is ±1 in f32 from ±9 on; the function may exceed that by a bit, so the result is clamped. Error: 4.2e-7.
#[inline(always)]
fn tanh<V: Vector>(x: V) -> V {
    let splat = V::splat;
    let x = x.or_above(splat(-9.0)).or_below(splat(9.0));
    let square = x.times(x);
    let high = [-2.760_768_4e-16, 2.000_188e-13, -8.604_672e-11];
    let low = [5.122_297_3e-8, 1.485_722_35e-5, 6.372_619_3e-4, 4.893_524_6e-3];
    let p = polynomial(square, [high[0], high[1], high[2], low[0], low[1], low[2], low[3]]);
    let q = polynomial(square, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3]);
    x.times(p).over(q).or_above(splat(-1.0)).or_below(splat(1.0))
}
