//! Loads a checkpoint: from a file through its layout, or its graph, to a model. The only place that names them all.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use tract_onnx::pb::ModelProto;

use crate::card::{self, Card, Example};
use crate::file::{self, Contents, Decoded};
use crate::layout::{self, PolicySettings};
use crate::model::{Fact, Facts, Format, Normalisation, Outputs, Source, Squash, Squashing};
use crate::onnx::{self, Blueprint, Interface, NamedBy, Names};
use crate::program;
use crate::resolve::{self, Given, Resolved, ResolvedGraph};
use crate::wit::{File, OperatorFacts, Sidecar, SidecarKind};

/// The policy that a file describes, from which an actor is made.
pub struct Model {
    pub network: Blueprint,
    pub normalisation: Option<Normalisation>,
    pub squashing: Squashing,
    pub facts: Facts,
    /// The examples of the card.
    pub examples: Vec<Example>,
}

/// A file that was decoded, with the facts from outside of it.
struct Checkpoint<'a> {
    bytes: Bytes,
    sidecars: Vec<Sidecar>,
    decoded: Decoded,
    card: Card,
    operator: &'a OperatorFacts,
}

impl Model {
    /// Reads a file and what stands beside it.
    ///
    /// # Errors
    ///
    /// Fails if the file is of no known format or layout, is damaged, lacks a fact that nothing else gives, or asks for
    /// what is not served.
    pub fn read(file: File, operator: &OperatorFacts) -> Result<Self> {
        Model::of_bytes(file.bytes.into(), file.sidecars, operator)
    }

    /// Reads a file as [`Model::read`] does.
    pub fn of_bytes(bytes: Bytes, sidecars: Vec<Sidecar>, operator: &OperatorFacts) -> Result<Self> {
        let checkpoint = Checkpoint::decode(bytes, sidecars, operator)?;
        let given = checkpoint.given();
        let model = match &checkpoint.decoded {
            Decoded::Tensors { format, contents } => Model::of_tensors(*format, contents, &given)?,
            Decoded::Program(program) => {
                Model::of_graph(program.format(), program::translate(program)?, checkpoint.statistics(), &given)?
            }
            Decoded::Onnx => Model::of_graph(Format::Onnx, checkpoint.graph()?, checkpoint.statistics(), &given)?,
        };
        Ok(Model { examples: checkpoint.card.examples, ..model })
    }

    /// Writes a card in JSON with null for each fact that a file lacks.
    ///
    /// # Errors
    ///
    /// Fails if the file contains no actor that can be recognised.
    pub fn card(file: File, operator: &OperatorFacts) -> Result<String> {
        let checkpoint = Checkpoint::decode(file.bytes.into(), file.sidecars, operator)?;
        let given = checkpoint.given();
        match &checkpoint.decoded {
            Decoded::Tensors { contents, .. } => {
                let actor = layout::find(contents)?;
                let settings = PolicySettings::new(contents, &actor.scope);
                let (missing, state_dim, action_dim) = resolve::lacking(&actor, &settings, &given)?;
                Ok(card::template(&missing, state_dim, action_dim))
            }
            Decoded::Program(program) => {
                let (proto, interface) = onnx::select(program::translate(program)?, &names(&checkpoint.card, false))?;
                let network = Blueprint::of_graph(proto, interface)?;
                Ok(card::template(&[], network.state_dim, network.action_dim))
            }
            Decoded::Onnx => {
                let (proto, interface) = onnx::select(checkpoint.graph()?, &names(&checkpoint.card, false))?;
                let network = Blueprint::of_graph(proto, interface)?;
                Ok(card::template(&[], network.state_dim, network.action_dim))
            }
        }
    }

    /// Writes the model as an ONNX file that contains all that the policy does.
    ///
    /// # Errors
    ///
    /// Fails if tract cannot run the graph.
    pub fn export(self) -> Result<Vec<u8>> {
        let action_dim = self.network.action_dim;
        let proto = self.network.into_proto()?;
        Ok(onnx::export(proto, self.normalisation.as_ref(), &self.squashing, action_dim))
    }

    fn of_tensors(format: Format, contents: &Contents, given: &Given) -> Result<Self> {
        if let Some(class) = layout::other_policy(contents) {
            bail!(
                "the model has the policy of `{class}`: an actor of SAC, TQC, CrossQ, TD3 or DDPG is expected; any policy is \
                 served as an ONNX graph or a TorchScript program that gives the action"
            );
        }
        layout::check_features_extractor(contents)?;
        let actor = layout::find(contents)?;
        let name = actor.layout.name;
        ensure!(
            format != Format::StableBaselines3 || layout::OF_STABLE_BASELINES3.contains(&name),
            "the layers of the model's actor are not those of Stable-Baselines3's own SAC, TQC, TD3 or DDPG, but of the layout \
             `{name}`: save it as an ONNX graph or a TorchScript program that gives the action"
        );
        let settings = PolicySettings::new(contents, &actor.scope);
        let Resolved { mlp, normalisation, squashing, facts } = resolve::resolve(&actor, &settings, given)?;
        let facts = Facts {
            format,
            layout: name,
            layers: vec![],
            list: facts,
            verified_examples: 0,
            observation_bounds: settings.observation_bounds()?,
        };
        Model::new(Blueprint::of_layers(mlp)?, &settings, normalisation, squashing, facts)
    }

    fn of_graph(format: Format, proto: ModelProto, statistics: Option<&Sidecar>, given: &Given) -> Result<Self> {
        let mut contents = onnx::metadata(&proto)?;
        if let Some(statistics) = statistics.filter(|_| given.card.uses_statistics()) {
            file::add_statistics(&statistics.name, &statistics.bytes, &mut contents)?;
        }
        let settings = PolicySettings::new(&contents, "");
        let (proto, interface) = onnx::select(proto, &names(given.card, settings.text(&["squash"]).is_some()))?;
        // The parts of a tuple have no names.
        let is_named = format == Format::Onnx || interface.kind == Outputs::Action || given.card.outputs.is_some();
        ensure!(
            is_named || !given.card.examples.is_empty(),
            "the program returns a tuple, whose parts have no names: write \"outputs\": [\"mean\", \"log_std\"] into \
             FILE.policy.json if the first two are the mean before its squash and the log_std, or examples; or save a \
             program that returns the action"
        );
        ensure!(
            !(interface.is_squashed && interface.kind == Outputs::Action && given.card.squash() == Some(Squash::Tanh)),
            "the card's `squash` is tanh, and the graph's action ends in a tanh or the like already: write \"squash\": \"none\" if \
             that is the one"
        );
        let named = interface_facts(&interface);
        let network = Blueprint::of_graph(proto, interface)?;
        let dims = [network.state_dim, network.action_dim];
        let mean_of = |state: &[f64]| network.recognised().map(|found| found.mean_of(state));
        let resolved = resolve::resolve_graph(&settings, given, network.outputs(), dims, &mean_of)?;
        let ResolvedGraph { normalisation, squashing, mut facts } = resolved;
        facts.extend(named);
        let facts = Facts {
            format,
            layout: "graph",
            layers: vec![],
            list: facts,
            verified_examples: 0,
            observation_bounds: settings.observation_bounds()?,
        };
        Model::new(network, &settings, normalisation, squashing, facts)
    }

    fn new(
        network: Blueprint,
        settings: &PolicySettings,
        normalisation: Option<Normalisation>,
        squashing: Squashing,
        facts: Facts,
    ) -> Result<Self> {
        let (state_dim, action_dim) = (network.state_dim, network.action_dim);
        settings.check_dimension(&["state_dim", "obs_dim", "observation_dim", "state_size"], state_dim)?;
        settings.check_dimension(&["action_dim", "act_dim", "action_size"], action_dim)?;
        let facts = Facts { layers: network.layers(), ..facts };
        Ok(Model { network, normalisation, squashing, facts, examples: vec![] })
    }
}

impl<'a> Checkpoint<'a> {
    fn decode(bytes: Bytes, sidecars: Vec<Sidecar>, operator: &'a OperatorFacts) -> Result<Self> {
        let card = Card::read(&sidecars)?;
        let statistics = statistics(&sidecars);
        let mut decoded = file::decode(&bytes)?;
        match (&mut decoded, statistics) {
            (Decoded::Tensors { contents, .. }, Some(statistics)) => {
                file::add_statistics(&statistics.name, &statistics.bytes, contents)?;
            }
            (_, Some(statistics)) => ensure!(
                card.gives_normalisation(),
                "`{}` holds statistics, and the file does not say whether it normalises states itself: write {{\"normalisation\": \
                 \"none\"}} into FILE.policy.json if it does, or else {{\"normalisation\": \"vecnormalize\"}}",
                statistics.name
            ),
            _ => {}
        }
        Ok(Checkpoint { bytes, sidecars, decoded, card, operator })
    }

    /// Decodes the graph of an ONNX file, with the external data beside it.
    fn graph(&self) -> Result<ModelProto> {
        let external = self.sidecars.iter().filter(|sidecar| sidecar.kind == SidecarKind::ExternalData);
        let external = external.map(|sidecar| (sidecar.name.as_str(), &sidecar.bytes[..])).collect::<Vec<_>>();
        onnx::read(&self.bytes, &external)
    }

    /// Returns the VecNormalize file beside it.
    fn statistics(&self) -> Option<&Sidecar> {
        statistics(&self.sidecars)
    }

    fn given(&self) -> Given<'_> {
        Given { card: &self.card, operator: self.operator }
    }
}

fn statistics(sidecars: &[Sidecar]) -> Option<&Sidecar> {
    sidecars.iter().find(|sidecar| sidecar.kind == SidecarKind::Vecnormalize)
}

/// Returns the names that a card gives to a graph's input and outputs. `has_squash` is true if metadata names the squash.
fn names(card: &Card, has_squash: bool) -> Names {
    Names {
        input: card.input.clone(),
        outputs: card.outputs.clone(),
        has_examples: !card.examples.is_empty(),
        has_squash: has_squash || card.squash().is_some(),
    }
}

/// Returns the facts about a graph's input and outputs.
fn interface_facts(interface: &Interface) -> [Fact; 2] {
    let source = |by: NamedBy| match by {
        NamedBy::Card => Source::Card,
        NamedBy::UsualName => Source::File("the graph's names".into()),
        NamedBy::OnlyOne => Source::File("the graph, which has no other".into()),
    };
    [
        Fact::new("input", &interface.input, &source(interface.input_by)),
        Fact::new("outputs", interface.outputs.join(", "), &source(interface.outputs_by)),
    ]
}
