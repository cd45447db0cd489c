//! Loads a checkpoint: from a file through its layout, or its graph, to a model. The only place that names them all.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use tract_onnx::pb::ModelProto;

use crate::file::{self, Contents, Decoded};
use crate::layout::{self, PolicySettings};
use crate::model::{Activation, Facts, Format, LogStd, Mlp, Normalisation, Outputs, Squashing};
use crate::onnx::{self, Network, Recognised};
use crate::program;
use crate::wit::File;

/// The policy that a file describes, from which an actor is made.
pub struct Model {
    pub network: Network,
    /// The same network as linear layers, if it consists of them.
    pub recognised: Option<Recognised>,
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
    pub facts: Facts,
    proto: ModelProto,
}

impl Model {
    /// Reads a file. If the file does not name its activation, it is `assumed`, or else ReLU.
    ///
    /// # Errors
    ///
    /// Fails if the file is of no known format or layout, is damaged, or asks for what is not served.
    pub fn read(file: File, assumed: Option<Activation>) -> Result<Self> {
        let bytes = Bytes::from(file.bytes);
        match file::decode(&bytes, file.vecnormalize.as_deref())? {
            Decoded::Tensors { format, contents } => Model::of_tensors(format, &contents, assumed),
            Decoded::Program(program) => {
                let mut model = Model::of_graph(program::translate(&program)?)?;
                model.facts.format = Format::TorchScript;
                Ok(model)
            }
            Decoded::Onnx => Model::of_graph(onnx::read(&bytes)?),
        }
    }

    /// Writes the model as an ONNX file that contains all that the policy does.
    pub fn export(self) -> Vec<u8> {
        onnx::export(self.proto, self.normalisation.as_ref(), &self.squashing, self.network.action_dim)
    }

    fn of_tensors(format: Format, contents: &Contents, assumed: Option<Activation>) -> Result<Self> {
        let actor = layout::find(contents)?;
        ensure!(
            format != Format::StableBaselines3 || actor.layout == layout::STABLE_BASELINES3,
            "the model has an actor of the layout `{}`: the actor of Stable-Baselines3 is expected",
            actor.layout
        );
        let settings = PolicySettings::new(contents, &actor.scope);
        let named = settings.activation()?;
        let activation = named.or(assumed).unwrap_or(Activation::Relu);
        let mlp = Mlp { trunk: actor.trunk, activation, mean: actor.mean, log_std: actor.log_std };
        mlp.check()?;
        let facts = Facts {
            format,
            layout: actor.layout,
            layers: vec![],
            activation: Some(activation),
            activation_assumed: named.is_none() && assumed.is_none(),
            observation_bounds: settings.observation_bounds()?,
        };
        let proto = onnx::model(&mlp);
        let recognised = Recognised { mlp, normalisation: None, log_std: None };
        Model::with_settings(proto, Some(recognised), &settings, actor.log_std_rule, facts)
    }

    fn of_graph(proto: ModelProto) -> Result<Self> {
        let contents = onnx::metadata(&proto).context("the metadata of the ONNX model")?;
        let settings = PolicySettings::new(&contents, "");
        let facts = Facts {
            format: Format::Onnx,
            layout: "graph",
            layers: vec![],
            activation: None,
            activation_assumed: false,
            observation_bounds: settings.observation_bounds()?,
        };
        let recognised = onnx::recognise(&proto);
        Model::with_settings(proto, recognised, &settings, LogStd::DEFAULT, facts)
    }

    fn with_settings(
        proto: ModelProto,
        recognised: Option<Recognised>,
        settings: &PolicySettings,
        log_std: LogStd,
        facts: Facts,
    ) -> Result<Self> {
        let network = Network::new(&proto)?;
        let (state_dim, action_dim, outputs) = (network.state_dim, network.action_dim, network.outputs);
        settings.check_dimension(&["state_dim", "obs_dim", "observation_dim", "state_size"], state_dim)?;
        settings.check_dimension(&["action_dim", "act_dim", "action_size"], action_dim)?;
        let bounds = if outputs == Outputs::MeanAndLogStd { settings.action_bounds(action_dim)? } else { None };
        Ok(Model {
            normalisation: settings.normalisation(state_dim)?,
            squashing: Squashing { outputs, log_std: settings.log_std(log_std)?, bounds },
            recognised,
            network,
            facts: Facts { layers: onnx::layers(&proto), ..facts },
            proto,
        })
    }
}
