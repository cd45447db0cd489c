//! Reads the archives of `torch.export.save`: the graph of a program as JSON, and its parameters. The schema is PyTorch's
//! `torch/_export/serde/schema.py`; only what a policy needs of it is kept.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::archive::{Archive, Entry};
use super::dtype::Dtype;
use super::storage::Storage;
use super::tensor::Tensor;
use super::torch;

/// A program that `torch.export` wrote.
pub struct Exported {
    pub graph_module: GraphModule,
    /// The parameters, buffers and constants by the names that the signature refers to.
    pub tensors: BTreeMap<String, Tensor>,
}

/// The graph and the meaning of its inputs and outputs.
#[derive(Deserialize)]
pub struct GraphModule {
    pub graph: Graph,
    pub signature: Signature,
}

#[derive(Deserialize)]
pub struct Graph {
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub tensor_values: HashMap<String, TensorMeta>,
}

/// A call of an operator.
#[derive(Deserialize)]
pub struct Node {
    /// The operator, such as `torch.ops.aten.linear.default`.
    pub target: String,
    pub inputs: Vec<Input>,
    /// The values that the call defines, each an argument such as `{"as_tensor": {"name": "linear"}}`.
    pub outputs: Vec<Value>,
}

/// An argument by the name of the parameter.
#[derive(Deserialize)]
pub struct Input {
    #[serde(default)]
    pub name: String,
    pub arg: Value,
}

#[derive(Deserialize)]
pub struct Signature {
    pub input_specs: Vec<Value>,
    pub output_specs: Vec<Value>,
}

/// The type and shape of a tensor.
#[derive(Deserialize)]
pub struct TensorMeta {
    /// The position in the schema's list of types, from 1.
    pub dtype: i64,
    pub sizes: Vec<Value>,
    #[serde(default)]
    pub strides: Vec<Value>,
    #[serde(default)]
    pub storage_offset: Value,
}

#[derive(Deserialize)]
struct Program {
    graph_module: GraphModule,
}

/// The list of the stored tensors of an archive.
#[derive(Deserialize)]
struct Stored {
    config: BTreeMap<String, StoredTensor>,
}

#[derive(Deserialize)]
struct StoredTensor {
    path_name: String,
    #[serde(default)]
    use_pickle: bool,
    tensor_meta: Option<TensorMeta>,
}

/// The most bytes of JSON. A policy of a few layers has some ten thousands, mostly stack traces.
const MAX_JSON: usize = 4 << 20;

/// The program of the format before PyTorch 2.8, which keeps its parameters as files of `torch.save`.
const OLD_PROGRAM: &str = "serialized_exported_program.json";

/// Returns the folder of an exported program within a zip archive, with its slash; `None` if it is of something else.
pub fn folder(archive: &Archive) -> Option<String> {
    let folders = ["archive_format", OLD_PROGRAM];
    let mut found = archive.names().filter_map(|name| folders.iter().find_map(|file| name.strip_suffix(file)));
    found.find(|folder| folder.is_empty() || folder.ends_with('/')).map(str::to_owned)
}

/// Reads an archive within `folder` of a zip archive.
pub fn read(archive: &Archive, folder: &str) -> Result<Exported> {
    let entry = |name: &str| archive.entry(&format!("{folder}{name}"));
    if let Some(program) = entry(OLD_PROGRAM) {
        let program = json::<Program>(program)?;
        return Ok(Exported { graph_module: program.graph_module, tensors: old_tensors(archive, folder)? });
    }
    if let Some(byteorder) = entry("byteorder") {
        ensure!(*byteorder.read()? == *b"little", "the tensors are big-endian: little-endian is expected");
    }
    let prefix = format!("{folder}models/");
    let models = archive.names().filter(|name| name.starts_with(&prefix) && name.ends_with(".json"));
    let models = models.collect::<Vec<_>>();
    let [model] = models[..] else {
        bail!("it holds {} programs in `models/`: one is expected, as torch.export.save writes it", models.len());
    };
    let program = json::<Program>(archive.entry(model).context("the program is missing")?)?;
    let model = model[prefix.len()..].trim_end_matches(".json");
    let mut tensors = BTreeMap::new();
    for kind in ["weights", "constants"] {
        let Some(stored) = entry(&format!("data/{kind}/{model}_{kind}_config.json")) else { continue };
        for (name, stored) in json::<Stored>(stored)?.config {
            let data = entry(&format!("data/{kind}/{}", stored.path_name));
            let data = data.with_context(|| format!("the data of `{name}` is missing"))?;
            // A value that no node reads, such as a generator's state, need not be a tensor.
            if let Some(tensor) = tensor(&stored, data).with_context(|| format!("`{name}`"))? {
                tensors.insert(name, tensor);
            }
        }
    }
    Ok(Exported { graph_module: program.graph_module, tensors })
}

fn tensor(stored: &StoredTensor, data: &Entry) -> Result<Option<Tensor>> {
    let Some(meta) = stored.tensor_meta.as_ref().filter(|_| !stored.use_pickle) else { return Ok(None) };
    let dtype = dtype(meta.dtype).with_context(|| format!("its type, number {}, is not read", meta.dtype))?;
    let sizes = |sizes: &[Value]| sizes.iter().map(size).collect::<Option<Vec<_>>>();
    let shape = sizes(&meta.sizes).context("its shape is not a list of numbers")?;
    let strides = sizes(&meta.strides).context("its strides are not a list of numbers")?;
    let offset = if meta.storage_offset.is_null() { Some(0) } else { size(&meta.storage_offset) };
    let offset = offset.context("its offset is not a number")?;
    let (entry, numel) = (data.clone(), data.size() / dtype.size());
    Tensor::view(Storage::new(move || entry.read()), dtype, numel, offset, shape, strides).map(Some)
}

/// Returns the number in `{"as_int": 3}`.
pub fn size(value: &Value) -> Option<usize> {
    usize::try_from(value.get("as_int")?.as_u64()?).ok()
}

fn dtype(number: i64) -> Option<Dtype> {
    Some(match number {
        1 => Dtype::U8,
        2 => Dtype::I8,
        3 => Dtype::I16,
        4 => Dtype::I32,
        5 => Dtype::I64,
        6 => Dtype::F16,
        7 => Dtype::F32,
        8 => Dtype::F64,
        12 => Dtype::Bool,
        13 => Dtype::Bf16,
        _ => return None,
    })
}

fn old_tensors(archive: &Archive, folder: &str) -> Result<BTreeMap<String, Tensor>> {
    let mut tensors = BTreeMap::new();
    for name in ["serialized_state_dict", "serialized_constants"] {
        let names = [format!("{folder}{name}.pt"), format!("{folder}{name}.json")];
        let Some(entry) = names.iter().find_map(|name| archive.entry(name)).filter(|entry| entry.size() > 0) else {
            continue;
        };
        let contents = torch::read_entry(entry).with_context(|| format!("its {name}"))?;
        tensors.extend(contents.tensors().map(|(name, tensor)| (name.to_owned(), tensor.clone())));
    }
    Ok(tensors)
}

fn json<T: DeserializeOwned>(entry: &Entry) -> Result<T> {
    ensure!(entry.size() <= MAX_JSON, "its JSON has more than {MAX_JSON} bytes");
    let bytes = entry.read()?;
    serde_json::from_slice(bytes.deref()).context("its JSON is not that of an exported program")
}
