//! Four f32 lanes with the operations that the kernel needs: `v128` on wasm32, an array elsewhere.
//!
//! Both use plain IEEE arithmetic, nothing fused and nothing relaxed, so every engine and every native build computes the
//! same bits. The component is still built with `relaxed-simd`, because tract's kernels use it: see `.cargo/config.toml`.

/// The number of f32 values in an [`F32x4`].
pub const LANES: usize = 4;

#[cfg(not(target_arch = "wasm32"))]
pub use array::F32x4;
#[cfg(target_arch = "wasm32")]
pub use wasm::F32x4;

impl F32x4 {
    /// Returns `self + a * b`, rounded twice. A fused form would be up to 8 % faster at best. But Cranelift only has the
    /// form that overwrites a factor, and costs 70 % where the copies it needs do not fit the registers. Relaxed
    /// multiply-add would also give different results on different engines and processors.
    #[inline(always)]
    pub fn plus_product(self, a: Self, b: Self) -> Self {
        self.plus(a.times(b))
    }

    /// Makes a vector of the first four of `values`. Missing ones are 0.
    #[inline(always)]
    pub fn from_prefix(values: &[f32]) -> Self {
        Self::from_array(std::array::from_fn(|lane| values.get(lane).copied().unwrap_or(0.0)))
    }

    #[inline(always)]
    pub fn abs(self) -> Self {
        self.or_above(Self::splat(0.0).minus(self))
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::*;

    /// Four f32 lanes.
    #[derive(Clone, Copy)]
    pub struct F32x4(v128);

    impl F32x4 {
        #[inline(always)]
        pub fn splat(value: f32) -> Self {
            Self(f32x4_splat(value))
        }

        #[inline(always)]
        pub fn from_array([a, b, c, d]: [f32; 4]) -> Self {
            Self(f32x4(a, b, c, d))
        }

        #[inline(always)]
        pub fn to_array(self) -> [f32; 4] {
            let Self(v) = self;
            [
                f32x4_extract_lane::<0>(v),
                f32x4_extract_lane::<1>(v),
                f32x4_extract_lane::<2>(v),
                f32x4_extract_lane::<3>(v),
            ]
        }

        /// Returns four vectors, each with one lane in all places.
        #[inline(always)]
        pub fn spread(self) -> [Self; 4] {
            let Self(v) = self;
            [
                Self(i32x4_shuffle::<0, 0, 0, 0>(v, v)),
                Self(i32x4_shuffle::<1, 1, 1, 1>(v, v)),
                Self(i32x4_shuffle::<2, 2, 2, 2>(v, v)),
                Self(i32x4_shuffle::<3, 3, 3, 3>(v, v)),
            ]
        }

        #[inline(always)]
        pub fn plus(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        pub fn minus(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        pub fn times(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        pub fn over(self, other: Self) -> Self {
            Self(f32x4_div(self.0, other.0))
        }

        /// Returns `self < other ? other : self`, so a NaN in `self` stays. This is one instruction on x86, unlike
        /// `f32x4.max`, which treats NaN differently.
        #[inline(always)]
        pub fn or_above(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        /// Returns `other < self ? other : self`, so a NaN in `self` stays.
        #[inline(always)]
        pub fn or_below(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }

        /// Returns `self < 0 ? negative : other`.
        #[inline(always)]
        pub fn if_negative(self, negative: Self, other: Self) -> Self {
            Self(v128_bitselect(negative.0, other.0, f32x4_lt(self.0, f32x4_splat(0.0))))
        }

        /// Shifts the bits up by 23: an integer in the lowest bits of the mantissa becomes the exponent.
        #[inline(always)]
        pub fn mantissa_as_exponent(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod array {
    use std::array::from_fn;

    /// Four f32 lanes.
    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);

    impl F32x4 {
        pub fn splat(value: f32) -> Self {
            Self([value; 4])
        }

        pub fn from_array(lanes: [f32; 4]) -> Self {
            Self(lanes)
        }

        pub fn to_array(self) -> [f32; 4] {
            self.0
        }

        pub fn spread(self) -> [Self; 4] {
            self.0.map(Self::splat)
        }

        pub fn plus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] + other.0[i]))
        }

        pub fn minus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] - other.0[i]))
        }

        pub fn times(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] * other.0[i]))
        }

        pub fn over(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] / other.0[i]))
        }

        pub fn or_above(self, other: Self) -> Self {
            Self(from_fn(|i| if self.0[i] < other.0[i] { other.0[i] } else { self.0[i] }))
        }

        pub fn or_below(self, other: Self) -> Self {
            Self(from_fn(|i| if other.0[i] < self.0[i] { other.0[i] } else { self.0[i] }))
        }

        pub fn if_negative(self, negative: Self, other: Self) -> Self {
            Self(from_fn(|i| if self.0[i] < 0.0 { negative.0[i] } else { other.0[i] }))
        }

        pub fn mantissa_as_exponent(self) -> Self {
            Self(self.0.map(|lane| f32::from_bits(lane.to_bits() << 23)))
        }
    }
}
