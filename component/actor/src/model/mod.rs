//! A policy as a file describes it, from which an actor is made.

pub mod mlp;
pub mod policy;

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::ModelProto;

use crate::file::contents::Contents;
use crate::file::{self, File, Read};
use crate::layout::settings::Settings;
use crate::layout::{self, LogStd};
use crate::model::mlp::{Activation, Dense};
use crate::model::policy::{Normalisation, Squashing};
use crate::onnx::{self, Heads, Network, Recognised};

pub struct Model {
    pub network: Network,
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
    pub description: Description,
    /// The same network said by layers, where it is one of layers.
    pub recognised: Option<Recognised>,
    proto: ModelProto,
}

/// What can be told of a model beyond its dimensions.
pub struct Description {
    pub format: &'static str,
    pub layout: &'static str,
    /// Name, inputs and outputs of each, in the order of their computation.
    pub layers: Vec<(String, usize, usize)>,
    /// None where the graph itself has it.
    pub activation: Option<Activation>,
    /// Nothing in the file says the activation.
    pub activation_assumed: bool,
    /// Told, and not applied.
    pub observation_bounds: Option<(Vec<f64>, Vec<f64>)>,
}

impl Description {
    /// As it is shown.
    pub fn activation(&self) -> Option<String> {
        let assumed = if self.activation_assumed { " (assumed)" } else { "" };
        self.activation.map(|activation| format!("{}{assumed}", activation.name()))
    }
}

impl Model {
    /// Reads a file. Where it does not say its activation it is `assumed`, or else ReLU.
    pub fn read(file: &File, assumed: Option<Activation>) -> Result<Self> {
        match file::read(file)? {
            Read::Tensors { format, contents } => Model::of_tensors(format, &contents, assumed),
            Read::Onnx => Model::of_graph(onnx::read(&file.bytes)?),
        }
    }

    /// As an ONNX file that stands by itself.
    pub fn export(self) -> Vec<u8> {
        let action_dim = self.network.action_dim;
        onnx::export(self.proto, self.network.heads, self.normalisation.as_ref(), &self.squashing, action_dim)
    }

    fn of_tensors(format: &'static str, contents: &Contents, assumed: Option<Activation>) -> Result<Self> {
        let found = layout::find(contents)?;
        let usual = format != layout::STABLE_BASELINES || found.layout == layout::STABLE_BASELINES;
        ensure!(usual, "the model's actor is not the one of Stable-Baselines3, but of the layout `{}`", found.layout);
        let settings = Settings::new(contents, &found.scope);
        let said = settings.activation()?;
        if let (file::TORCHSCRIPT, Some(activation @ (Activation::LeakyRelu | Activation::Elu | Activation::Gelu))) =
            (format, said)
        {
            bail!("a TorchScript archive keeps the parameters of its {} in code: export it to ONNX", activation.name());
        }
        let dense = Dense {
            trunk: found.trunk,
            activation: said.or(assumed).unwrap_or(Activation::Relu),
            mean: found.mean,
            log_std: found.log_std,
        };
        dense.check()?;
        let description = Description {
            format,
            layout: found.layout,
            layers: vec![],
            activation: Some(dense.activation),
            activation_assumed: said.is_none() && assumed.is_none(),
            observation_bounds: settings.observation_bounds()?,
        };
        let proto = onnx::model(&dense);
        let recognised = Recognised { dense, normalisation: None, log_std: None };
        Model::of(proto, Some(recognised), &settings, found.log_std_rule, description)
    }

    fn of_graph(proto: ModelProto) -> Result<Self> {
        let contents = onnx::metadata(&proto).context("the metadata of the ONNX model")?;
        let settings = Settings::new(&contents, "");
        let description = Description {
            format: "onnx",
            layout: "graph",
            layers: vec![],
            activation: None,
            activation_assumed: false,
            observation_bounds: settings.observation_bounds()?,
        };
        let recognised = onnx::recognise(&proto);
        Model::of(proto, recognised, &settings, LogStd::USUAL, description)
    }

    fn of(
        proto: ModelProto,
        recognised: Option<Recognised>,
        settings: &Settings,
        rule: LogStd,
        description: Description,
    ) -> Result<Self> {
        let network = Network::of(&proto)?;
        let (state_dim, action_dim) = (network.state_dim, network.action_dim);
        settings.check_dimension(&["state_dim", "obs_dim", "observation_dim", "state_size"], state_dim)?;
        settings.check_dimension(&["action_dim", "act_dim", "action_size"], action_dim)?;
        let bounds = if network.heads == Heads::Gaussian { settings.bounds(action_dim)? } else { None };
        let description = Description { layers: onnx::layers(&proto), ..description };
        Ok(Model {
            normalisation: settings.normalisation(state_dim)?,
            squashing: Squashing { heads: network.heads, log_std: settings.log_std(rule)?, bounds },
            recognised,
            network,
            description,
            proto,
        })
    }
}
