//! Hosts behind a real nginx, several on one folder, and behind a real Caddy. Where one is missing, its tests print that they
//! test nothing, and in CI they fail.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use sac_tests::{Client, Owner, Process, Server, Settings, Signal, checkpoint, free_port, publish, workspace};
use serde_json::json;
use tempfile::{TempDir, tempdir};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::stream::Stream;

const CLIENTS: u32 = 8;
const SWAPS: u64 = 40;
/// The number of answers between two swaps.
const ANSWERS: u32 = 50;

/// A program of another project that passes requests on.
struct Proxy {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Proxy {
    /// nginx with the configuration of `host/deploy`, but for the addresses. `ip` is a loopback address that no other
    /// test listens on, since nginx cannot choose a port and say which.
    fn nginx(hosts: &[String; 3], ip: [u8; 4]) -> Option<Proxy> {
        let (folder, address) =
            configured("nginx.conf", "listen 8000", |address| format!("listen {address}"), hosts, ip);
        // An installed nginx has such a page, which must not be served.
        std::fs::create_dir(folder.path().join("html")).unwrap();
        std::fs::write(folder.path().join("html/index.html"), "Welcome to nginx!").unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
        // If root starts nginx, its workers run as another user, which may not connect to Unix sockets in a test's folder.
        command.args(["-g", "daemon off; pid nginx.pid; error_log stderr notice; user root;"]);
        Proxy::start(command, "start worker process ", address, folder)
    }

    /// Caddy, likewise.
    fn caddy(host: SocketAddr, ip: [u8; 4]) -> Option<Proxy> {
        let listen = |address: SocketAddr| format!(":{} {{\nbind {}", address.port(), address.ip());
        let (folder, address) = configured("Caddyfile", ":8000 {", listen, &[host.to_string()], ip);
        let mut command = Command::new("caddy");
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.path().join("Caddyfile"));
        // It keeps files in the home folder otherwise.
        command.env("HOME", folder.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_DATA_HOME");
        Proxy::start(command, "serving initial configuration", address, folder)
    }

    fn start(command: Command, started: &str, address: SocketAddr, folder: TempDir) -> Option<Proxy> {
        let name = command.get_program().display().to_string();
        let mut process = match Process::spawn(command) {
            Ok(process) => process,
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "{name} does not start: {error}");
                eprintln!("NOT TESTED: {name} does not start: {error}");
                return None;
            }
        };
        process.wait_for(started);
        process.read_on(|line| eprintln!("{line}"));
        Some(Proxy { process, address, _folder: folder })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Its workers end with it at this signal.
        let _ = self.process.signal(Signal::TERM);
        let _ = self.process.child.wait();
    }
}

/// Writes a file of `host/deploy` to a folder, with the addresses of these hosts, and with an address of its own to listen on
/// instead of `port`.
fn configured(
    file: &str,
    port: &str,
    listen: impl Fn(SocketAddr) -> String,
    hosts: &[String],
    ip: [u8; 4],
) -> (TempDir, SocketAddr) {
    let folder = tempdir().unwrap();
    let address = free_port(ip.into()).unwrap();
    let mut configuration = std::fs::read_to_string(workspace().join("host/deploy").join(file)).unwrap();
    for (port, host) in (8001..).zip(hosts) {
        configuration = configuration.replace(&format!("127.0.0.1:{port}"), host);
    }
    assert!(configuration.contains(port), "{file} does not contain {port:?}");
    let configuration = configuration.replace(port, &listen(address));
    std::fs::write(folder.path().join(file), configuration).unwrap();
    (folder, address)
}

/// Three hosts on one folder.
async fn hosts(folder: &Path) -> [Server; 3] {
    [Server::folder(folder).await, Server::folder(folder).await, Server::folder(folder).await]
}

fn addresses(hosts: &[Server; 3]) -> [String; 3] {
    hosts.each_ref().map(|host| host.address.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_behind_a_load_balancer_answer_503_without_a_model_and_predict_once_there_is_one() {
    let folder = tempdir().unwrap();
    let hosts = hosts(folder.path()).await;
    let Some(nginx) = Proxy::nginx(&addresses(&hosts), [127, 0, 0, 2]) else { return };
    let mut client = Client::connect(nginx.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/sac/model/info").await.detail(503), "No SAC model loaded");
    }
    publish(&folder.path().join("model_a.onnx"), &checkpoint("pendulum_00500"));
    for _ in 0..20 {
        client.predict(&[0.1, 0.2, 0.3]).await;
    }
    streams(&nginx, "/sac/stream").await;
    // These routes describe one host, and are not passed on.
    for path in ["/", "/metrics", "/status"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    assert_eq!(client.get("/docs").await.header("location"), Some("/docs/"));
    shows_the_documentation(&mut client, "").await;
}

/// Checks that the documentation and the files that it names are there.
async fn shows_the_documentation(client: &mut Client, prefix: &str) {
    for file in
        ["docs/", "docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs.css", "docs.js", "dom.js", "server.js"]
    {
        // As browsers do: for others, Caddy decompresses the file and does not know its length.
        let path = format!("{prefix}/{file}");
        let answer = client.send_with(Method::GET, &path, "accept-encoding: gzip\r\n", "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
    let document = client.get(&format!("{prefix}/sac/openapi.json")).await.ok();
    let url = if prefix.is_empty() { "/" } else { prefix };
    assert_eq!(document["servers"][0]["url"], url);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rename_no_host_behind_a_load_balancer_answers_with_the_older_policy() {
    let folder = tempdir().unwrap();
    let path = |number: u64| folder.path().join(format!("model_{number:04}.onnx"));
    publish(&path(0), &checkpoint("pendulum_00500"));
    let hosts = hosts(folder.path()).await;
    let Some(nginx) = Proxy::nginx(&addresses(&hosts), [127, 0, 0, 3]) else { return };
    // The number of the newest checkpoint whose rename is done.
    let published = Arc::new(AtomicU64::new(0));
    let answers = Arc::new(Semaphore::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (published, answers, address) = (published.clone(), answers.clone(), nginx.address);
        clients.spawn(async move {
            let (mut client, mut served_by) = (Client::connect(address).await, BTreeSet::new());
            loop {
                let newest = published.load(Ordering::SeqCst);
                let answer = client.post("/sac/predict", json!({ "state": [0.1, 0.2, 0.3] })).await;
                served_by.insert(answer.header("x-served-by").unwrap().to_owned());
                let answer = answer.ok();
                let name = answer["model_path"].as_str().unwrap().rsplit_once("model_").unwrap().1;
                let number = name.trim_end_matches(".onnx").parse::<u64>().unwrap();
                assert!(number >= newest, "checkpoint {number} answered after {newest} was published");
                answers.add_permits(1);
                if newest == SWAPS {
                    return served_by;
                }
            }
        });
    }
    for number in 1..=SWAPS {
        let policy = if number % 2 == 0 { "pendulum_00500" } else { "pendulum_08000" };
        publish(&path(number), &checkpoint(policy));
        published.store(number, Ordering::SeqCst);
        if number == SWAPS {
            break;
        }
        // A client ends early only if it failed.
        tokio::select! {
            permits = answers.acquire_many(ANSWERS) => permits.unwrap().forget(),
            Some(client) = clients.join_next() => panic!("a client ended: {client:?}"),
        }
    }
    let served_by = clients.join_all().await.into_iter().flatten().collect::<BTreeSet<_>>();
    assert_eq!(served_by, addresses(&hosts).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_on_unix_sockets_behind_a_load_balancer_answer_and_see_a_new_checkpoint() {
    let folder = tempdir().unwrap();
    let settings = Settings::folder(folder.path());
    let start = || Server::start(Owner::HostOnUnixSocket, &settings);
    let hosts = [start().await, start().await, start().await];
    let upstreams = hosts.each_ref().map(|host| format!("unix:{}", host.socket().display()));
    let Some(nginx) = Proxy::nginx(&upstreams, [127, 0, 0, 6]) else { return };
    let mut client = Client::connect(nginx.address).await;
    let mut served_by = BTreeSet::new();
    for policy in ["pendulum_00500", "pendulum_08000"] {
        publish(&folder.path().join(format!("model_{policy}.onnx")), &checkpoint(policy));
        for _ in 0..20 {
            let answer = client.post("/sac/predict", json!({ "state": [0.1, 0.2, 0.3] })).await;
            served_by.insert(answer.header("x-served-by").unwrap().to_owned());
            assert!(answer.ok()["model_path"].as_str().unwrap().contains(policy));
        }
    }
    assert_eq!(served_by, upstreams.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_prefix_nginx_passes_on_what_the_policy_answers_and_nothing_else() {
    let folder = tempdir().unwrap();
    let hosts = hosts(folder.path()).await;
    let Some(nginx) = Proxy::nginx(&addresses(&hosts), [127, 0, 0, 4]) else { return };
    serves_below_a_prefix(&nginx, folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_prefix_caddy_passes_on_what_the_policy_answers_and_nothing_else() {
    let folder = tempdir().unwrap();
    let host = Server::folder(folder.path()).await;
    let Some(caddy) = Proxy::caddy(host.address, [127, 0, 0, 5]) else { return };
    serves_below_a_prefix(&caddy, folder.path()).await;
}

async fn streams(proxy: &Proxy, path: &str) {
    let mut stream = Stream::open_at(proxy.address, path, None).await.unwrap();
    for _ in 0..3 {
        assert!(stream.predict().await["model_path"].is_string());
    }
}

async fn serves_below_a_prefix(proxy: &Proxy, folder: &Path) {
    let mut client = Client::connect(proxy.address).await;
    assert_eq!(client.get("/rl/sac/model/info").await.detail(503), "No SAC model loaded");
    publish(&folder.join("model_a.onnx"), &checkpoint("pendulum_00500"));
    client.post("/rl/sac/predict", json!({ "state": [0.1, 0.2, 0.3] })).await.ok();
    streams(proxy, "/rl/sac/stream").await;
    assert_eq!(client.get("/rl/v2").await.ok()["name"], "sac-serving");
    client.get("/rl/v2/health/ready").await.ok();
    assert_eq!(client.get("/rl/docs").await.header("location"), Some("docs/"));
    shows_the_documentation(&mut client, "/rl").await;
    for path in
        ["/rl", "/rl/", "/rl/metrics", "/rl/status", "/rl/sacx", "/rl/sac/../metrics", "/rlsac/health", "/metrics"]
    {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
}
