//! Enums whose values have names in settings.

use thiserror::Error;

/// A setting has a value that is none of these names.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected one of {}", .0.join(", "))]
pub struct UnknownName(pub(super) &'static [&'static str]);

/// Defines an enum with `ALL`, `NAMES`, `Display` and `FromStr`, so that each name is written once.
macro_rules! named {
    ($(#[$of_type:meta])* pub enum $type:ident { $($(#[$of_value:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$of_type])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[$of_value])* $value,)+
        }

        impl $type {
            /// All values.
            pub const ALL: &[$type] = &[$($type::$value),+];
            /// The names of all values, in the order of `ALL`.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Returns the name of this value in settings.
            pub fn name(self) -> &'static str {
                match self {
                    $($type::$value => $name,)+
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $type {
            type Err = super::UnknownName;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let found = Self::ALL.iter().copied().find(|value| value.name() == name);
                found.ok_or(super::UnknownName(Self::NAMES))
            }
        }
    };
}

pub(super) use named;
