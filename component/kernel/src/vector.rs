//! The operations on vectors that the activations consist of, so that a formula is written once for every width.

use std::array::from_fn;

/// A vector of f32 lanes with plain IEEE arithmetic: nothing is fused and nothing is relaxed.
pub trait Vector: Copy {
    fn splat(value: f32) -> Self;

    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn times(self, other: Self) -> Self;

    fn over(self, other: Self) -> Self;

    /// Returns `self < other ? other : self`, so a NaN in `self` stays. This is one instruction on x86, unlike
    /// `f32::max`, which treats NaN differently.
    fn or_above(self, other: Self) -> Self;

    /// Returns `other < self ? other : self`, so a NaN in `self` stays.
    fn or_below(self, other: Self) -> Self;

    /// Returns `self < 0 ? negative : other`.
    fn if_negative(self, negative: Self, other: Self) -> Self;

    /// Shifts the bits up by 23: an integer in the lowest bits of the mantissa becomes the exponent.
    fn mantissa_as_exponent(self) -> Self;

    /// Returns `self + a * b`, rounded twice. A fused form would be up to 8 % faster at best. But Cranelift only has the
    /// form that overwrites a factor, and costs 70 % where the copies it needs do not fit the registers. Relaxed
    /// multiply-add would also give different results on different engines and processors.
    #[inline(always)]
    fn plus_product(self, a: Self, b: Self) -> Self {
        self.plus(a.times(b))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        self.or_above(Self::splat(0.0).minus(self))
    }
}

/// LLVM makes vectors of these in a function that may use them.
impl<const N: usize> Vector for [f32; N] {
    #[inline(always)]
    fn splat(value: f32) -> Self {
        [value; N]
    }

    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        from_fn(|i| self[i] + other[i])
    }

    #[inline(always)]
    fn minus(self, other: Self) -> Self {
        from_fn(|i| self[i] - other[i])
    }

    #[inline(always)]
    fn times(self, other: Self) -> Self {
        from_fn(|i| self[i] * other[i])
    }

    #[inline(always)]
    fn over(self, other: Self) -> Self {
        from_fn(|i| self[i] / other[i])
    }

    #[inline(always)]
    fn or_above(self, other: Self) -> Self {
        from_fn(|i| if self[i] < other[i] { other[i] } else { self[i] })
    }

    #[inline(always)]
    fn or_below(self, other: Self) -> Self {
        from_fn(|i| if other[i] < self[i] { other[i] } else { self[i] })
    }

    #[inline(always)]
    fn if_negative(self, negative: Self, other: Self) -> Self {
        from_fn(|i| if self[i] < 0.0 { negative[i] } else { other[i] })
    }

    #[inline(always)]
    fn mantissa_as_exponent(self) -> Self {
        from_fn(|i| f32::from_bits(self[i].to_bits() << 23))
    }
}
