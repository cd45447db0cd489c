//! The network of a file, from which a backend is made. Its graph is built for tract only when it is asked for.

use std::cell::OnceCell;

use anyhow::Result;
use tract_onnx::pb::ModelProto;

use super::{Interface, Network, Recognised, Rows, build, read, recognise};
use crate::model::{Layer, Mlp, Outputs, check_action_dim, check_state_dim};

/// The network of a file.
pub struct Blueprint {
    form: Form,
    /// The graph as tract understands it, once it was asked for.
    network: OnceCell<Network>,
    pub state_dim: usize,
    pub action_dim: usize,
}

/// The content of a file that describes its network.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Form {
    Layers(Recognised),
    Graph { proto: ModelProto, interface: Interface, recognised: Option<Recognised> },
}

impl Blueprint {
    /// The network of layers that a file has by their names.
    ///
    /// # Errors
    ///
    /// Fails if a state or an action is too long.
    pub fn of_layers(mlp: Mlp) -> Result<Self> {
        let (state_dim, action_dim) = (mlp.state_dim(), mlp.action_dim());
        check_state_dim(state_dim)?;
        check_action_dim(action_dim)?;
        let recognised = Recognised { mlp, normalisation: None, log_std: None, is_certain: true };
        Ok(Blueprint { form: Form::Layers(recognised), network: OnceCell::new(), state_dim, action_dim })
    }

    /// The network of a graph that [`super::select`] returned.
    ///
    /// # Errors
    ///
    /// Fails if tract cannot run the graph, unless its layers are certain; and if a state or an action is too long.
    pub fn of_graph(proto: ModelProto, interface: Interface) -> Result<Self> {
        let mut recognised = recognise(&proto).filter(|found| found.mlp.state_dim() == interface.state_dim);
        let network = OnceCell::new();
        let (state_dim, action_dim) = match &mut recognised {
            Some(found) if found.is_certain && interface.rows == Rows::Any => {
                (found.mlp.state_dim(), found.mlp.action_dim())
            }
            recognised => {
                let read = Network::new(&proto, interface.clone())?;
                let dims = (read.state_dim, read.action_dim);
                recognised.take_if(|found| found.mlp.action_dim() != dims.1);
                recognised.iter_mut().for_each(|found| found.is_certain = false);
                let _ = network.set(read);
                dims
            }
        };
        check_state_dim(state_dim)?;
        check_action_dim(action_dim)?;
        Ok(Blueprint { form: Form::Graph { proto, interface, recognised }, network, state_dim, action_dim })
    }

    /// Returns the network as linear layers, if it consists of them.
    pub fn recognised(&self) -> Option<&Recognised> {
        match &self.form {
            Form::Layers(recognised) => Some(recognised),
            Form::Graph { recognised, .. } => recognised.as_ref(),
        }
    }

    pub fn outputs(&self) -> Outputs {
        match &self.form {
            Form::Layers(found) => Interface::built(&found.mlp).kind,
            Form::Graph { interface, .. } => interface.kind,
        }
    }

    /// Returns the linear layers in the order of computation.
    pub fn layers(&self) -> Vec<Layer> {
        match &self.form {
            Form::Layers(found) => found.mlp.layers(),
            Form::Graph { proto, .. } => read::layers(proto),
        }
    }

    /// Returns the graph as tract understands it.
    ///
    /// # Errors
    ///
    /// Fails if tract cannot run the graph.
    pub fn network(&self) -> Result<&Network> {
        if let Some(network) = self.network.get() {
            return Ok(network);
        }
        let network = match &self.form {
            Form::Layers(found) => Network::new(&build::model(&found.mlp), Interface::built(&found.mlp))?,
            Form::Graph { proto, interface, .. } => Network::new(proto, interface.clone())?,
        };
        Ok(self.network.get_or_init(|| network))
    }

    /// Returns the graph as an ONNX model.
    ///
    /// # Errors
    ///
    /// Fails if tract cannot run the graph.
    pub fn into_proto(self) -> Result<ModelProto> {
        self.network()?;
        Ok(match self.form {
            Form::Layers(found) => build::model(&found.mlp),
            Form::Graph { proto, .. } => proto,
        })
    }
}
