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
    /// Makes a vector of the first four of `values`. Missing ones are 0.
    #[inline(always)]
    pub fn from_prefix(values: &[f32]) -> Self {
        Self::from_array(std::array::from_fn(|lane| values.get(lane).copied().unwrap_or(0.0)))
    }
}

#[cfg(target_arch = "wasm32")]
mod wasm {
    use core::arch::wasm32::*;

    use crate::vector::Vector;

    /// Four f32 lanes.
    #[derive(Clone, Copy)]
    pub struct F32x4(v128);

    impl F32x4 {
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
    }

    impl Vector for F32x4 {
        #[inline(always)]
        fn splat(value: f32) -> Self {
            Self(f32x4_splat(value))
        }

        #[inline(always)]
        fn plus(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        #[inline(always)]
        fn minus(self, other: Self) -> Self {
            Self(f32x4_sub(self.0, other.0))
        }

        #[inline(always)]
        fn times(self, other: Self) -> Self {
            Self(f32x4_mul(self.0, other.0))
        }

        #[inline(always)]
        fn over(self, other: Self) -> Self {
            Self(f32x4_div(self.0, other.0))
        }

        #[inline(always)]
        fn or_above(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        #[inline(always)]
        fn or_below(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }

        #[inline(always)]
        fn if_negative(self, negative: Self, other: Self) -> Self {
            Self(v128_bitselect(negative.0, other.0, f32x4_lt(self.0, f32x4_splat(0.0))))
        }

        #[inline(always)]
        fn mantissa_as_exponent(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod array {
    use crate::vector::Vector;

    /// Four f32 lanes.
    #[derive(Clone, Copy)]
    pub struct F32x4([f32; 4]);

    impl F32x4 {
        pub fn from_array(lanes: [f32; 4]) -> Self {
            Self(lanes)
        }

        pub fn to_array(self) -> [f32; 4] {
            self.0
        }

        pub fn spread(self) -> [Self; 4] {
            self.0.map(Self::splat)
        }
    }

    impl Vector for F32x4 {
        fn splat(value: f32) -> Self {
            Self([value; 4])
        }

        fn plus(self, other: Self) -> Self {
            Self(self.0.plus(other.0))
        }

        fn minus(self, other: Self) -> Self {
            Self(self.0.minus(other.0))
        }

        fn times(self, other: Self) -> Self {
            Self(self.0.times(other.0))
        }

        fn over(self, other: Self) -> Self {
            Self(self.0.over(other.0))
        }

        fn or_above(self, other: Self) -> Self {
            Self(self.0.or_above(other.0))
        }

        fn or_below(self, other: Self) -> Self {
            Self(self.0.or_below(other.0))
        }

        fn if_negative(self, negative: Self, other: Self) -> Self {
            Self(self.0.if_negative(negative.0, other.0))
        }

        fn mantissa_as_exponent(self) -> Self {
            Self(self.0.mantissa_as_exponent())
        }
    }
}
