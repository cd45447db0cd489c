//! The conversions from this crate's types to those that bindings generators make of `wit/serving.wit`.

/// Implements the conversions into generated types. Each generator makes types of its own, so an owner calls this once
/// where its `Activation`, `OnRefusal`, `SidecarKind` and `Instant` are in scope.
#[macro_export]
macro_rules! wit_conversions {
    () => {
        $crate::wit_conversions!($crate::settings::Activation => Activation {
            Relu, LeakyRelu, Elu, Silu, Gelu, Tanh, Sigmoid, Relu6, Selu, Celu, Mish, Softplus, Hardswish
        });
        $crate::wit_conversions!($crate::settings::OnBadCheckpoint => OnRefusal { Keep, Fail });
        $crate::wit_conversions!($crate::SidecarKind => SidecarKind { Card, FolderCard, Vecnormalize, ExternalData });

        impl ::core::convert::From<::std::time::SystemTime> for Instant {
            fn from(time: ::std::time::SystemTime) -> Self {
                let (seconds, nanoseconds) = $crate::since_epoch(time);
                Instant { seconds, nanoseconds }
            }
        }
    };
    ($ours:ty => $generated:ident { $($case:ident),+ }) => {
        impl ::core::convert::From<$ours> for $generated {
            fn from(value: $ours) -> Self {
                match value {
                    $(<$ours>::$case => $generated::$case,)+
                }
            }
        }
    };
}
