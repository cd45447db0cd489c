//! The formats of checkpoint files.

/// The format of a checkpoint file, which its content decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Onnx,
    /// A zip archive of `torch.save`, as PyTorch writes it since version 1.6.
    Torch,
    /// The pickles in a row that `torch.save` wrote before.
    TorchLegacy,
    /// An archive of `torch.jit.save`.
    TorchScript,
    /// An archive of `torch.export.save`.
    TorchExport,
    Safetensors,
    StableBaselines3,
    /// An archive of MushroomRL's `save`.
    MushroomRl,
    /// A pickle that Python itself wrote, and not `torch.save`.
    Pickle,
}

impl Format {
    /// Returns the name that the HTTP contract gives the format.
    pub fn name(self) -> &'static str {
        match self {
            Format::Onnx => "onnx",
            Format::Torch => "torch",
            Format::TorchLegacy => "torch-legacy",
            Format::TorchScript => "torchscript",
            Format::TorchExport => "torch-export",
            Format::Safetensors => "safetensors",
            Format::StableBaselines3 => "stable-baselines3",
            Format::MushroomRl => "mushroom-rl",
            Format::Pickle => "pickle",
        }
    }
}
