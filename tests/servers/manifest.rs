//! The manifest of the Spin application, spin.toml: what it builds, and what it runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sac_test_support::workspace;

/// The parts of spin.toml that say what runs.
pub struct Manifest {
    pub build_command: String,
    pub gateway: PathBuf,
    /// The import that it satisfies, and the actor.
    pub dependency: (String, PathBuf),
    /// Source and destination.
    pub files: (PathBuf, String),
    toml: toml::Table,
}

impl Manifest {
    pub fn read() -> Result<Manifest> {
        let root = workspace();
        let toml: toml::Table = fs::read_to_string(root.join("spin.toml"))?.parse()?;
        let component = &toml["component"]["sac"];
        let text = |value: &toml::Value| value.as_str().map(str::to_owned).context("a string is expected");
        let dependencies = component["dependencies"].as_table().context("no dependencies")?;
        let (import, dependency) = dependencies.iter().next().context("no dependency")?;
        let mount = &component["files"][0];
        Ok(Manifest {
            build_command: text(&component["build"]["command"])?,
            gateway: root.join(text(&component["source"])?),
            dependency: (import.clone(), root.join(text(&dependency["path"])?)),
            files: (root.join(text(&mount["source"])?), text(&mount["destination"])?),
            toml,
        })
    }

    /// Returns the manifest with absolute paths and another mount.
    pub fn with_mount(&self, folder: &Path, name: &str) -> String {
        let mut toml = self.toml.clone();
        let component = &mut toml["component"]["sac"];
        component["source"] = self.gateway.to_string_lossy().into_owned().into();
        component["dependencies"][&self.dependency.0]["path"] = self.dependency.1.to_string_lossy().into_owned().into();
        component["files"][0]["source"] = folder.to_string_lossy().into_owned().into();
        component["files"][0]["destination"] = name.into();
        toml.to_string()
    }

    /// Returns `true` if the manifest gives the actor a capability of the gateway.
    pub fn actor_inherits(&self) -> bool {
        let component = self.toml["component"]["sac"].as_table().expect("a table");
        let dependency = &component["dependencies"][&self.dependency.0];
        component.contains_key("dependencies_inherit_configuration")
            || dependency.get("inherit_configuration").is_some()
    }
}

/// Runs the manifest's build command, as `spin build` does.
pub fn build_components(manifest: &Manifest) -> Result<()> {
    let mut command = Command::new("sh");
    command.args(["-c", &manifest.build_command]).current_dir(workspace());
    // Cargo sets these for the tests, and `spin build` does not have them.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        if name != "CARGO_HOME" {
            command.env_remove(name);
        }
    }
    ensure!(command.status()?.success(), "`{}` failed", manifest.build_command);
    Ok(())
}
