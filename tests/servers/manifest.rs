//! The manifest of the Spin application, spin.toml: what it builds, and what it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sac_test_support::workspace;

/// The import that the actor satisfies.
pub const ACTOR: &str = "sac:serving/serving";

/// The parts of spin.toml that say what runs.
pub struct Manifest {
    pub build_command: String,
    pub gateway: PathBuf,
    /// The imports of the gateway that other components satisfy, and these components.
    pub dependencies: BTreeMap<String, PathBuf>,
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
        let dependency = |(import, it): (&String, &toml::Value)| Ok((import.clone(), root.join(text(&it["path"])?)));
        let mount = &component["files"][0];
        Ok(Manifest {
            build_command: text(&component["build"]["command"])?,
            gateway: root.join(text(&component["source"])?),
            dependencies: dependencies.iter().map(dependency).collect::<Result<_>>()?,
            files: (root.join(text(&mount["source"])?), text(&mount["destination"])?),
            toml,
        })
    }

    /// Returns the actor.
    pub fn actor(&self) -> &Path {
        &self.dependencies[ACTOR]
    }

    /// Returns the manifest with absolute paths and another mount.
    pub fn with_mount(&self, folder: &Path, name: &str) -> String {
        let mut toml = self.toml.clone();
        let component = &mut toml["component"]["sac"];
        component["source"] = self.gateway.to_string_lossy().into_owned().into();
        for (import, path) in &self.dependencies {
            component["dependencies"][import]["path"] = path.to_string_lossy().into_owned().into();
        }
        component["files"][0]["source"] = folder.to_string_lossy().into_owned().into();
        component["files"][0]["destination"] = name.into();
        toml.to_string()
    }

    /// Returns `true` if the manifest gives the actor a capability of the gateway.
    pub fn actor_inherits(&self) -> bool {
        let component = self.toml["component"]["sac"].as_table().expect("a table");
        let dependency = &component["dependencies"][ACTOR];
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
