//! Reads the files of MushroomRL's `save`: a zip archive in which each object is a folder, with a `config` of its class and
//! simple attributes, and a file or folder for each other attribute, named by the attribute and how it is saved.

use anyhow::{Context, Result};

use super::archive::{Archive, Entry};
use super::contents::{Contents, Leaf};
use super::flatten::flatten_values;
use super::names::name;
use super::numpy;
use super::pickle::{Pickle, read};
use super::torch;

const CONFIG: &str = "config";

/// Returns `true` if the archive is an object of MushroomRL.
pub fn is_agent(archive: &Archive) -> bool {
    archive.entry(CONFIG).is_some() && archive.names().any(|name| name.contains(".mushroom/"))
}

/// Reads every attribute under its name, such as `policy._mu_approximator._impl.model.network.h1.weight`.
pub fn read_agent(archive: &Archive) -> Result<Contents> {
    let mut contents = Contents::default();
    for entry in archive.entries() {
        add(entry, &mut contents).with_context(|| format!("`{}`", entry.name()))?;
    }
    Ok(contents)
}

fn add(entry: &Entry, contents: &mut Contents) -> Result<()> {
    let (folder, file) = entry.name().rsplit_once('/').unwrap_or(("", entry.name()));
    let folder =
        folder.split('/').map(|part| part.strip_suffix(".mushroom").unwrap_or(part)).collect::<Vec<_>>().join(".");
    if file == CONFIG {
        return add_config(&folder, &read(&entry.read()?)?, contents);
    }
    let Some((attribute, kind)) = file.rsplit_once('.') else { return Ok(()) };
    let path = if folder.is_empty() { attribute.to_owned() } else { format!("{folder}.{attribute}") };
    match kind {
        "torch" => contents.insert_all(&path, torch::read_entry(entry)?),
        "numpy" => match numpy::read_file(&entry.read()?)? {
            Some(array) => contents.insert(&path, Leaf::Tensor(array)),
            None => Ok(()),
        },
        "pickle" => contents.insert_all(&path, flatten_values(&read(&entry.read()?)?)?),
        _ => Ok(()),
    }
}

/// Adds the class of an object and its simple attributes.
fn add_config(folder: &str, pickle: &Pickle, contents: &mut Contents) -> Result<()> {
    if let Some(class) = pickle.item(pickle.root, "type") {
        contents.insert_class(folder, name(pickle, class))?;
    }
    let mut found = flatten_values(pickle)?;
    let simple = found.take_below("primitive_dictionary.");
    contents.insert_all(folder, simple)
}
