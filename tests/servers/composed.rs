//! The application of spin.toml without Spin: composed as Spin composes it, and run by the handler of wasmtime-wasi-http
//! with the limits of an instance that Spin and `wasmtime serve` have.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sac_owner::settings::{Activation, ModelName, variables};
use tokio::net::TcpListener;
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wasmtime::component::{Component, GuestTaskId, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};

use crate::manifest::{ACTOR, Manifest, build_components};
use crate::server::{RootSettings, Settings};

/// The number of requests that an instance answers.
const REUSE: usize = 128;
/// The number of requests that an instance answers at the same time.
const CONCURRENT_REUSE: usize = 16;

/// Answers HTTP/1.1 on a listener until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, settings: Settings) {
    let pre = tokio::task::spawn_blocking(pre).await.expect("no panic");
    let handler = ProxyHandler::new(Application { pre, settings });
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        let handler = handler.clone();
        let answer = service_fn(move |request| {
            let handler = handler.clone();
            async move { Ok::<_, Infallible>(answer(&handler, request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(handler: &ProxyHandler<Application>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://test{path}").parse().expect("a URI");
    let body = body.map_err(Error::Hyper).boxed_unsync();
    match handler.handle((), Request::from_parts(parts, body)).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes());
            Response::from_parts(parts, Full::new(body.unwrap_or_default()))
        }
        Err(error) => {
            let mut response = Response::new(Full::new(format!("{{\"detail\":{:?}}}", error.to_string()).into()));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A folder outside, and its name inside.
pub(crate) struct Mount {
    pub(crate) folder: PathBuf,
    pub(crate) name: String,
}

/// The folder that is mounted, under the name that it has outside unless the settings say otherwise.
pub(crate) fn mount(settings: &Settings) -> Mount {
    let folder = settings.root.as_ref().map_or(&settings.dir, |root| &root.folder);
    let name = settings.mount.clone().unwrap_or_else(|| folder.to_string_lossy().into_owned());
    Mount { folder: folder.clone(), name }
}

/// The environment as `spin up --env` sets it.
pub(crate) fn variables(settings: &Settings) -> Vec<(&'static str, String)> {
    let Mount { name: folder, .. } = mount(settings);
    let mut set = vec![
        (variables::JIT, if settings.jit { " " } else { "0" }.to_owned()),
        (variables::ACTIVATION, settings.activation.map(Activation::name).unwrap_or_default().to_owned()),
        (variables::ACTION_BOUNDS, settings.action_bounds.as_ref().map(ToString::to_string).unwrap_or_default()),
        (variables::MODEL_NAME, settings.model_name.to_string()),
        (variables::PATTERN, settings.pattern.to_owned()),
        (variables::ON_BAD_CHECKPOINT, settings.on_bad_checkpoint.name().to_owned()),
        (variables::MAX_BATCH, settings.max_batch.to_string()),
        (variables::MAX_BODY_BYTES, settings.max_body_bytes.to_string()),
        (variables::MAX_CHECKPOINT_BYTES, settings.max_checkpoint_bytes.to_string()),
    ];
    set.extend(settings.model.as_ref().map(|model| (variables::MODEL, model.to_string_lossy().into_owned())));
    set.extend(settings.token.clone().map(|token| (variables::API_TOKEN, token)));
    match &settings.root {
        Some(RootSettings { default, max_policies, .. }) => set.extend([
            (variables::ROOT, folder),
            (variables::DEFAULT, default.as_ref().map_or("", ModelName::as_str).to_owned()),
            (variables::MAX_POLICIES, max_policies.to_string()),
            (variables::DIR, String::new()),
        ]),
        None => set.push((variables::DIR, if settings.mount.is_none() { folder } else { String::new() })),
    }
    set
}

/// The application as one component, for runtimes that know nothing of Spin's variables.
pub(crate) fn bytes() -> Vec<u8> {
    let manifest = Manifest::read().expect("spin.toml");
    build_components(&manifest).expect("the components build");
    compose(&manifest, &[ACTOR]).expect("the components fit")
}

/// The application, compiled once for all tests of the process.
fn pre() -> &'static (Engine, ServicePre<Guest>) {
    static PRE: OnceLock<(Engine, ServicePre<Guest>)> = OnceLock::new();
    PRE.get_or_init(|| {
        let mut config = Config::new();
        config.wasm_component_model_async(true);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, bytes()).expect("a component");
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI 0.2");
        wasmtime_wasi::p3::add_to_linker(&mut linker).expect("WASI 0.3");
        wasmtime_wasi_http::p3::add_to_linker(&mut linker).expect("wasi:http 0.3");
        let pre = linker.instantiate_pre(&component).expect("nothing else is imported");
        (engine, ServicePre::new(pre).expect("it exports wasi:http/handler"))
    })
}

/// Composes the gateway with components that satisfy some of its imports, as Spin does: names of imports may lack the version.
/// The gateway's exports become the composition's.
pub fn compose(manifest: &Manifest, dependencies: &[&str]) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let mut register = |name: &str, path: &Path| -> Result<_> {
        let package = Package::from_file(name, None, path, graph.types_mut())?;
        let world = package.ty();
        let id = graph.register_package(package)?;
        Ok((graph.instantiate(id), world))
    };
    let (gateway, world) = register("sac:gateway", &manifest.gateway)?;
    let mut instances = Vec::new();
    for (number, name) in dependencies.iter().enumerate() {
        let path = manifest.dependencies.get(*name).with_context(|| format!("no dependency {name}"))?;
        instances.push((*name, register(&format!("sac:dependency{number}"), path)?.0));
    }
    let world = &graph.types()[world];
    let imports = world.imports.keys().cloned().collect::<Vec<_>>();
    let exports = world.exports.keys().cloned().collect::<Vec<_>>();
    for (name, instance) in instances {
        let is_it = |import: &&String| import.split_once('@').map_or(import.as_str(), |(name, _)| name) == name;
        let import = imports.iter().find(is_it).with_context(|| format!("the gateway does not import {name}"))?;
        let export = graph.alias_instance_export(instance, import)?;
        graph.set_instantiation_argument(gateway, import, export)?;
    }
    for export in exports {
        let node = graph.alias_instance_export(gateway, &export)?;
        graph.export(node, &export)?;
    }
    Ok(graph.encode(EncodeOptions::default())?)
}

struct Application {
    pre: &'static (Engine, ServicePre<Guest>),
    settings: Settings,
}

impl HandlerState for Application {
    type StoreData = Guest;
    type WorkerExpiration = Never;
    type WorkerState = Reused;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Never, Reused>> {
        let (engine, pre) = self.pre;
        let mut store = Store::new(engine, Guest::new(&self.settings)?);
        let proxy = ProxyPre::P3(pre.clone()).instantiate_async(&mut store).await?;
        Ok(Instance { store, proxy, view: WasiHttpView::http, expiration: Never, state: Reused })
    }
}

/// An instance ends when it has answered its share.
struct Never;

impl WorkerExpiration for Never {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>, _: WorkerStatus, _: Instant) -> Poll<()> {
        Poll::Pending
    }
}

struct Reused;

impl WorkerState for Reused {
    type StoreData = Guest;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        match (concurrent, total) {
            (_, REUSE..) => ShouldAccept::Never,
            (..CONCURRENT_REUSE, _) => ShouldAccept::Yes,
            _ => ShouldAccept::No,
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Guest>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        Box::pin(pending())
    }

    fn drop(&self, _: Store<Guest>, _: wasmtime::Result<()>) {}
}

struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    network: NoNetwork,
    table: ResourceTable,
}

impl Guest {
    fn new(settings: &Settings) -> wasmtime::Result<Guest> {
        let mut wasi = WasiCtxBuilder::new();
        for (name, value) in variables(settings) {
            wasi.env(name, value);
        }
        wasi.inherit_stderr();
        let Mount { folder, name } = mount(settings);
        if folder.is_dir() {
            wasi.preopened_dir(&folder, &name, FsPerms::ReadOnly)?;
        }
        Ok(Guest { wasi: wasi.build(), http: WasiHttpCtx::new(), network: NoNetwork, table: ResourceTable::new() })
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.network, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Refuses requests, since the application sends none.
struct NoNetwork;

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoNetwork {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
