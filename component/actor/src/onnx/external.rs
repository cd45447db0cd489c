//! Brings the external data of an ONNX model into its tensors. It looks only among the files that it is given, by name.

use anyhow::{Context, Result, bail, ensure};
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};

use crate::model::MAX_WEIGHTS;

/// The most bytes that all external tensors may take together. Tensors may share a part of a file, so that they can
/// stand for far more bytes than it has.
const MAX_BYTES: usize = MAX_WEIGHTS * size_of::<f32>();

/// Copies external data into the tensors that refer to it. `sidecars` are files by their names.
///
/// # Errors
///
/// Fails if a tensor refers to a file that was not given, to a part that lies outside of it, or to a part whose length
/// does not fit the tensor's shape; or if all tensors together are larger than [`MAX_WEIGHTS`].
pub fn inline(model: &mut ModelProto, sidecars: &[(&str, &[u8])]) -> Result<()> {
    let Some(graph) = &mut model.graph else { return Ok(()) };
    let (mut locations, mut bytes) = (Locations::default(), 0usize);
    each_tensor(graph, &mut |tensor| {
        if is_external(tensor) {
            locations.add(entry(tensor, "location").unwrap_or_default())?;
            bytes = bytes.saturating_add(size(tensor)?);
        }
        Ok(())
    })?;
    ensure!(bytes <= MAX_BYTES, "the external data takes {bytes} bytes, {MAX_BYTES} at most are expected");
    each_tensor(graph, &mut |tensor| {
        if is_external(tensor) {
            let part = part(tensor, &locations, sidecars).with_context(|| format!("`{}`", tensor.name))?;
            tensor.raw_data = part.to_vec();
            tensor.data_location = None;
            tensor.external_data.clear();
        }
        Ok(())
    })
}

/// Visits every tensor of a graph: initialisers, attributes, and those of the graphs within nodes.
pub fn each_tensor(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut TensorProto) -> Result<()>) -> Result<()> {
    graph.initializer.iter_mut().try_for_each(&mut *visit)?;
    for sparse in &mut graph.sparse_initializer {
        sparse.values.iter_mut().chain(&mut sparse.indices).try_for_each(&mut *visit)?;
    }
    for attribute in graph.node.iter_mut().flat_map(|node| &mut node.attribute) {
        attribute.t.iter_mut().chain(&mut attribute.tensors).try_for_each(&mut *visit)?;
        attribute.g.iter_mut().chain(&mut attribute.graphs).try_for_each(|graph| each_tensor(graph, visit))?;
    }
    Ok(())
}

/// The first location that a model names, and a second one if there is any.
#[derive(Default)]
struct Locations {
    first: Option<String>,
    are_many: bool,
}

impl Locations {
    fn add(&mut self, location: &str) -> Result<()> {
        let plain =
            !location.is_empty() && ![".", ".."].contains(&location) && !location.contains(['/', '\\', ':', '\0']);
        ensure!(plain, "the external data is at `{}`: a file's name without a folder is expected", shown(location));
        match &self.first {
            None => self.first = Some(location.to_owned()),
            Some(first) => self.are_many |= first != location,
        }
        Ok(())
    }
}

/// Returns the bytes of an external tensor.
fn part<'a>(tensor: &TensorProto, locations: &Locations, sidecars: &[(&str, &'a [u8])]) -> Result<&'a [u8]> {
    let location = entry(tensor, "location").unwrap_or_default();
    let file = match (sidecars.iter().find(|(name, _)| *name == location), sidecars) {
        (Some((_, bytes)), _) => *bytes,
        // A trainer that exports to a temporary name and renames both files leaves the temporary name in the model.
        (None, [(_, bytes)]) if !locations.are_many => *bytes,
        _ => bail!(
            "the weights are in external data `{}`, which is not beside it: copy it, or export with external_data=False",
            shown(location)
        ),
    };
    let (offset, expected) = (number(tensor, "offset")?.unwrap_or(0), size(tensor)?);
    let length = number(tensor, "length")?.unwrap_or(expected as u64);
    ensure!(
        length == expected as u64,
        "{length} bytes of external data stand for the shape {:?}, {expected} bytes are expected",
        tensor.dims
    );
    let start = usize::try_from(offset).ok();
    let part = start.and_then(|start| file.get(start..start.checked_add(expected)?));
    part.with_context(|| {
        let (location, found) = (shown(location), file.len());
        format!(
            "{length} bytes from {offset} on are expected in the external data `{location}`, which has {found} bytes"
        )
    })
}

fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location == Some(DataLocation::External.into())
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<u64>> {
    let parse = |text: &str| {
        let number = text.parse::<u64>();
        number
            .with_context(|| format!("the {key} of the external data is `{}`: a whole number is expected", shown(text)))
    };
    entry(tensor, key).map(parse).transpose()
}

/// Returns the bytes that a tensor's shape and type take.
fn size(tensor: &TensorProto) -> Result<usize> {
    let kind = DataType::try_from(tensor.data_type).unwrap_or(DataType::Undefined);
    let item = match kind {
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Double | DataType::Int64 | DataType::Uint64 => 8,
        DataType::Float16 | DataType::Int16 | DataType::Uint16 => 2,
        DataType::Int8 | DataType::Uint8 | DataType::Bool => 1,
        _ => bail!("`{}`: external data of the type {kind:?} is not served", tensor.name),
    };
    let dims =
        tensor.dims.iter().try_fold(item, |product: usize, dim| product.checked_mul(usize::try_from(*dim).ok()?));
    dims.with_context(|| format!("`{}` has the shape {:?}, which no file can hold", tensor.name, tensor.dims))
}

/// Returns a text of the file for an error message, cut to a length that a log can take.
fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
