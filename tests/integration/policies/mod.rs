//! Many policies in one process: each sub-folder of a root is one, with all routes below its name.

mod access;
mod eviction;
mod folders;
mod isolation;
mod metrics;
mod routes;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use http::Method;
use sac_serving::{Config, DefaultPolicy, OnBadCheckpoint, RootConfig};
use sac_tests::{Client, Server, Settings, checkpoint, patient_http, publish};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};
use tokio::task::JoinSet;

use crate::sandbox::probing_server;

const STATE: [f64; 3] = [0.1, 0.2, 0.3];

/// Publishes a checkpoint of a policy.
fn put(root: &Path, name: &str, checkpoint: &[u8]) {
    fs::create_dir_all(root.join(name)).unwrap();
    publish(&root.join(name).join("model_a.onnx"), checkpoint);
}

/// A root with a policy of each name, from the same checkpoint.
fn root<const N: usize>(names: [&str; N]) -> TempDir {
    let root = tempdir().unwrap();
    for name in names {
        put(root.path(), name, &checkpoint("pendulum_00500"));
    }
    root
}

async fn server_with(root: &Path, adapt: impl FnOnce(&mut Config, &mut RootConfig)) -> Server {
    let (mut config, mut settings) = (Settings::folder(root).config(), RootConfig::new(root));
    adapt(&mut config, &mut settings);
    Server::with_config(Config { root: Some(settings), ..config }).await
}

async fn server(root: &Path) -> Server {
    server_with(root, |_, _| ()).await
}

async fn predict(client: &mut Client, name: &str) -> Value {
    client.post(&format!("/policies/{name}/sac/predict"), json!({ "state": STATE })).await.ok()
}

/// The policies of `GET /policies` by their names, each with one of its fields.
async fn listed(client: &mut Client, field: &str) -> Vec<(String, Value)> {
    let list = client.get("/policies").await.ok();
    let policies = list["policies"].as_array().unwrap().iter();
    policies.map(|policy| (policy["name"].as_str().unwrap().to_owned(), policy[field].clone())).collect()
}

async fn states(client: &mut Client) -> Vec<(String, Value)> {
    listed(client, "state").await
}

fn named<const N: usize>(pairs: [(&str, Value); N]) -> Vec<(String, Value)> {
    pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
}

async fn metric(server: &Server, name: &str) -> f64 {
    let text = server.service().metrics().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}
