//! The programs of others that read the OpenAPI document: generators of clients, and a tester.

use std::path::Path;
use std::process::Command;

use sac_tests::{Client, Server, Settings, path, publish};
use tempfile::{TempDir, tempdir};

const TOKEN: &str = "secret";

/// Statuses of requests that the schema cannot describe: a benchmark has a limit of its time, which the machine decides, and a
/// stream is for clients of WebSockets.
const TESTER: &str = "
[[operations]]
include-path = '/sac/benchmark'
checks.positive_data_acceptance.expected-statuses = ['2xx', '400', '503']

[[operations]]
include-path = '/sac/stream'
checks.positive_data_acceptance.expected-statuses = ['426']
";

/// A server of a policy that is finite for every state, because it clips them.
async fn server(token: Option<&str>) -> (TempDir, Server) {
    let folder = tempdir().unwrap();
    let bytes = std::fs::read(path("corpus/mlagents_sac_norm_pt/checkpoint.pt")).unwrap();
    publish(&folder.path().join("model_a.pt"), &bytes);
    let settings = Settings { token: token.map(str::to_owned), ..Settings::folder(folder.path()) };
    let server = Server::with_config(settings.config()).await;
    (folder, server)
}

async fn client(server: &Server, token: Option<&str>) -> Client {
    let client = server.client().await;
    match token {
        Some(token) => client.with_token(token),
        None => client,
    }
}

/// Writes the document into a folder.
async fn document(server: &Server, token: Option<&str>, place: &Path) {
    let document = client(server, token).await.get("/sac/openapi.json").await;
    assert_eq!(document.status, 200);
    std::fs::write(place.join("openapi.json"), document.body()).unwrap();
}

/// Runs a program in a folder. Its output shows if it fails.
async fn run(program: &str, arguments: &[&str], place: &Path) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(place);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
}

/// Returns the Python that has a module.
fn python_with(module: &str) -> Option<String> {
    let python = std::env::var("SAC_TEST_OPENAPI_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let import = format!("import {module}");
    let imported = Command::new(&python).args(["-c", &import]).output();
    if imported.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("{python} lacks {module}, so it is not tested");
    assert!(std::env::var_os("CI").is_none(), "CI has it");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_fault_with_and_without_a_token() {
    let Some(python) = python_with("schemathesis") else { return };
    for token in [None, Some(TOKEN)] {
        let (_folder, server) = server(token).await;
        let place = tempdir().unwrap();
        document(&server, token, place.path()).await;
        std::fs::write(place.path().join("schemathesis.toml"), TESTER).unwrap();
        let url = format!("http://{}", server.address);
        let authorization = format!("Authorization: Bearer {TOKEN}");
        let mut arguments = vec!["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"];
        arguments.extend(["openapi.json", "--url", &url, "--max-examples", "20", "--seed", "1"]);
        if token.is_some() {
            arguments.extend(["-H", &authorization]);
        }
        run(&python, &arguments, place.path()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_python_client_passes_mypy() {
    let (Some(python), Some(_)) = (python_with("openapi_python_client"), python_with("mypy")) else { return };
    let (_folder, server) = server(None).await;
    let place = tempdir().unwrap();
    document(&server, None, place.path()).await;
    // Its own formatters are not needed.
    std::fs::write(place.path().join("config.yml"), "post_hooks: []\n").unwrap();
    let generate = ["-m", "openapi_python_client", "generate", "--path", "openapi.json", "--config", "config.yml"];
    run(&python, &[&generate[..], &["--output-path", "client", "--fail-on-warning"]].concat(), place.path()).await;
    run(&python, &["-m", "mypy", "client"], place.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_typescript_types_compile_and_let_optional_fields_out() {
    let Some(modules) = std::env::var_os("SAC_TEST_NODE_MODULES") else {
        println!("SAC_TEST_NODE_MODULES is not set, so openapi-typescript is not tested");
        assert!(std::env::var_os("CI").is_none(), "CI has it");
        return;
    };
    let program = |name: &str| Path::new(&modules).join(".bin").join(name).to_string_lossy().into_owned();
    let (_folder, server) = server(None).await;
    let place = tempdir().unwrap();
    document(&server, None, place.path()).await;
    run(&program("openapi-typescript"), &["openapi.json", "-o", "client.ts"], place.path()).await;
    let user = "import type { components } from './client';
        const request: components['schemas']['Predict'] = { state: [1, 2, 3] };
        const benchmark: components['schemas']['Benchmark'] = {};
        const answer = {} as components['schemas']['Prediction'];
        const action: number | number[] = answer.action;
        console.log(request, benchmark, action);\n";
    std::fs::write(place.path().join("user.ts"), user).unwrap();
    run(&program("tsc"), &["--noEmit", "--strict", "--lib", "es2022,dom", "user.ts"], place.path()).await;
}
