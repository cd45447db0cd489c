//! The command `serve`.

use std::pin::pin;

use anyhow::{Context, Result, ensure};
use listenfd::ListenFd;
use sac_owner::path_line;
use sac_serving::{Config, DefaultPolicy, HttpConfig, Listener, SacService};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::args::listen::Listen;
use crate::args::serve::ServeArgs;
use crate::args::{InvalidUse, unknown};
use crate::commands::{build, listen, on_runtime};
use crate::platform::{passed_unix_socket, shutdown_signal};
use crate::target::Address;

/// The longest state of the request that the log shows.
const MAX_SHOWN: u32 = 64;

/// Serves until it is stopped. `is_read` is true if people read the log.
pub fn serve(args: &ServeArgs, defaults: Config, sockets: ListenFd, is_read: bool) -> Result<()> {
    let (config, http) = configured(args, defaults)?;
    on_runtime(config.workers, async {
        let mut shutdown = pin!(shutdown_signal()?);
        // Bound first, so that an address in use is reported before the component is compiled.
        let (listener, address) = match passed(sockets)? {
            Some(passed) => passed,
            None => listen(&args.listen()?).await?,
        };
        args.check_reach(&config.tokens, &address).map_err(InvalidUse)?;
        let served = served(&config);
        let token = shown_token(args, &config);
        let address = Address::of(&address, http.tls.is_some());
        let Some(service) = build(config, shutdown.as_mut()).await? else { return Ok(()) };
        info!("listening on {address}");
        info!("serving {served}");
        if is_read {
            match address.socket {
                None => info!("the page is {address}/, the documentation {address}/docs/"),
                Some(_) => {
                    info!("a proxy shows the page at / and the documentation at /docs/: no browser opens a Unix socket")
                }
            }
            tokio::spawn(show_request(service.clone(), address, token));
        }
        sac_serving::serve(listener, service, http, shutdown).await;
        Ok(())
    })
}

/// Returns the settings that the arguments make. Reads the files that they name.
pub fn configured(args: &ServeArgs, defaults: Config) -> Result<(Config, HttpConfig), InvalidUse> {
    if let Some(warning) = unknown::warning() {
        warn!("{warning}");
    }
    let config = args.config(defaults).map_err(InvalidUse)?;
    let http = args.http_config(&config.tokens).map_err(InvalidUse)?;
    Ok((config, http))
}

/// Returns the socket that systemd passes, if there is one. Connections wait in it while the server restarts.
fn passed(mut sockets: ListenFd) -> Result<Option<(Listener, Listen)>> {
    ensure!(sockets.len() <= 1, "systemd passes {} sockets, and the server listens on one", sockets.len());
    let expected = "the socket that systemd passes is of another kind: expected ListenStream=ADDRESS:PORT or a path";
    match sockets.take_tcp_listener(0) {
        Ok(None) => Ok(None),
        Ok(Some(socket)) => {
            socket.set_nonblocking(true)?;
            let listener = TcpListener::from_std(socket)?;
            let bound = listener.local_addr()?.into();
            Ok(Some((listener.into(), bound)))
        }
        Err(_) => {
            let passed = passed_unix_socket(&mut sockets).context(expected)?;
            Ok(passed.map(|(listener, path)| (listener, Listen::Unix(path))))
        }
    }
}

/// Describes the checkpoints, for the log.
fn served(config: &Config) -> String {
    let source = || config.source.to_string();
    match &config.root {
        None => source(),
        Some(root) => {
            let folders = path_line(&root.folder);
            match root.default {
                DefaultPolicy::Source => format!("{}, and the policies in {folders}", source()),
                _ => format!("the policies in {folders}"),
            }
        }
    }
}

/// Returns what stands for the token in a command: its variable, or a word to replace if it comes from a file.
fn shown_token(args: &ServeArgs, config: &Config) -> Option<&'static str> {
    let is_given = args.api_token.as_ref().is_some_and(|token| !token.trim().is_empty());
    (!config.tokens.is_empty()).then_some(if is_given { "$SAC_API_TOKEN" } else { "TOKEN" })
}

/// Logs a request that fits the policy in service, once it is loaded.
async fn show_request(service: SacService, address: Address, token: Option<&str>) {
    let Some(state_dim) = service.state_dim().await.filter(|state_dim| *state_dim <= MAX_SHOWN) else { return };
    let state = vec!["0"; state_dim as usize].join(", ");
    let token = token.map(|token| format!(" -H \"authorization: Bearer {token}\"")).unwrap_or_default();
    info!("ask it: {}{token} -d '{{\"state\": [{state}]}}'", address.curl("/sac/predict"));
}
