//! The places of the JSON of an inference request: where each may stand, and what it may hold.

/// A place that is known. Other fields are ignored, for clients send those of other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Request,
    Id,
    Parameters,
    Deterministic,
    Seed,
    BinaryDataOutput,
    Inputs,
    Input,
    InputName,
    Shape,
    Size,
    Datatype,
    InputParameters,
    BinaryDataSize,
    Data,
    /// A number of a flat list, or a row.
    Element,
    Outputs,
    Output,
    OutputName,
    OutputParameters,
    BinaryData,
    Classification,
    SharedMemory,
}

impl Place {
    /// The number of fields of the largest object.
    pub const MOST_FIELDS: usize = 5;

    /// Returns the fields of an object. Empty for what is no object.
    pub fn fields(self) -> &'static [Place] {
        match self {
            Place::Request => &[Place::Id, Place::Parameters, Place::Inputs, Place::Outputs],
            Place::Parameters => &[Place::Deterministic, Place::Seed, Place::BinaryDataOutput],
            Place::Input => &[Place::InputName, Place::Shape, Place::Datatype, Place::InputParameters, Place::Data],
            Place::InputParameters => &[Place::BinaryDataSize, Place::SharedMemory],
            Place::Output => &[Place::OutputName, Place::OutputParameters],
            Place::OutputParameters => &[Place::BinaryData, Place::Classification, Place::SharedMemory],
            _ => &[],
        }
    }

    /// Returns the place of a list's elements. `None` for what is no list. A row is read elsewhere.
    pub fn element(self) -> Option<Place> {
        match self {
            Place::Inputs => Some(Place::Input),
            Place::Outputs => Some(Place::Output),
            Place::Shape => Some(Place::Size),
            Place::Data => Some(Place::Element),
            _ => None,
        }
    }

    /// Returns the name of a field; for an element, that of its list.
    pub fn name(self) -> &'static str {
        match self {
            Place::Request => "the body",
            Place::Id => "id",
            Place::Parameters | Place::InputParameters | Place::OutputParameters => "parameters",
            Place::Deterministic => "deterministic",
            Place::Seed => "seed",
            Place::BinaryDataOutput => "binary_data_output",
            Place::Inputs | Place::Input => "inputs",
            Place::InputName | Place::OutputName => "name",
            Place::Shape | Place::Size => "shape",
            Place::Datatype => "datatype",
            Place::BinaryDataSize => "binary_data_size",
            Place::Data | Place::Element => "data",
            Place::Outputs | Place::Output => "outputs",
            Place::BinaryData => "binary_data",
            Place::Classification => "classification",
            Place::SharedMemory => "shared_memory_region",
        }
    }

    /// Returns the kind of value that is expected.
    pub fn kind(self) -> &'static str {
        match self {
            Place::Id | Place::InputName | Place::Datatype | Place::OutputName | Place::SharedMemory => "a text",
            Place::Deterministic | Place::BinaryDataOutput | Place::BinaryData => "true or false",
            Place::Seed | Place::Size | Place::BinaryDataSize | Place::Classification => "a whole number",
            Place::Element => "a number or a list of numbers",
            place if place.element().is_some() => "a list",
            _ => "an object",
        }
    }

    pub fn is_required(self) -> bool {
        use Place::{Datatype, InputName, Inputs, OutputName, Shape};
        matches!(self, Inputs | InputName | Shape | Datatype | OutputName)
    }

    /// Returns `true` if null stands for an absent field.
    pub fn is_nullable(self) -> bool {
        use Place::{BinaryDataSize, Data, Id, InputParameters, OutputParameters, Outputs, Parameters, Seed};
        matches!(self, Id | Parameters | Seed | InputParameters | BinaryDataSize | Data | Outputs | OutputParameters)
    }
}
