//! Four f32 lanes with just the operations the kernel needs: `v128` on wasm32, an array everywhere else. Both do plain
//! IEEE arithmetic, nothing fused or relaxed, so any engine and any native build computes the same bits.

/// How many f32 values one [`F32x4`] holds.
pub const LANES: usize = 4;

#[cfg(not(target_arch = "wasm32"))]
pub use array::F32x4;
#[cfg(target_arch = "wasm32")]
pub use wasm::F32x4;

impl F32x4 {
    /// `self + a * b`, rounded twice. Fused it would be up to 8 % faster where it goes well; but Cranelift only has the
    /// form that overwrites a factor, and wherever the copies that takes do not fit the registers it costs 70 %. It
    /// also would give each engine and processor results of its own.
    #[inline(always)]
    pub fn plus_product(self, a: Self, b: Self) -> Self {
        self.plus(a.times(b))
    }

    /// The first lanes from `values`, up to four, the others 0.
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

        /// Each lane on its own, in all four places.
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

        /// `self < other ? other : self`, so that a NaN in `self` stays; one instruction on x86, which `f32x4.max` with
        /// its own idea of NaN is not.
        #[inline(always)]
        pub fn or_above(self, other: Self) -> Self {
            Self(f32x4_pmax(self.0, other.0))
        }

        /// `other < self ? other : self`, so that a NaN in `self` stays.
        #[inline(always)]
        pub fn or_below(self, other: Self) -> Self {
            Self(f32x4_pmin(self.0, other.0))
        }

        /// `self < 0 ? negative : other`.
        #[inline(always)]
        pub fn if_negative(self, negative: Self, other: Self) -> Self {
            Self(v128_bitselect(negative.0, other.0, f32x4_lt(self.0, f32x4_splat(0.0))))
        }

        /// The bits moved up by 23: an integer in the lowest bits of the mantissa becomes the exponent.
        #[inline(always)]
        pub fn mantissa_as_exponent(self) -> Self {
            Self(i32x4_shl(self.0, 23))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod array {
    use std::array::from_fn;

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
