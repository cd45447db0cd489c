//! What the component can reach: clocks, randomness, and a stderr that is kept for the word on its panic.
//!
//! wasip2's standard library imports more. The environment is empty, there is no preopened folder, and whatever else
//! is called traps. wasmtime-wasi's synchronous streams are not used: they block on a runtime, which panics on one of
//! its own threads.

mod allowance;
pub(crate) mod artefact;
pub(crate) mod bindings;
pub(crate) mod engine;
pub(crate) mod instance;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Linker, Lower, Resource, ResourceTable, ResourceType};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, random};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::config::SandboxLimits;
use crate::observe::metrics::Metrics;
use crate::sandbox::allowance::Allowance;
use crate::sandbox::bindings::{Actor, ActorPre};

/// The version of wasmtime-wasi's interfaces. A component's own may be another patch of 0.2.
const WASI: &str = "0.2.12";

/// A compiled component and all that it may import.
pub(crate) struct Sandbox {
    engine: Engine,
    component: ActorPre<Guest>,
    pub(crate) limits: SandboxLimits,
    pub(crate) metrics: Arc<Metrics>,
}

impl Sandbox {
    pub(crate) fn new(
        engine: Engine,
        component: &Component,
        limits: SandboxLimits,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let mut linker = Linker::new(&engine);
        link(&mut linker, component)?;
        let component = ActorPre::new(linker.instantiate_pre(component)?)?;
        Ok(Sandbox { engine, component, limits, metrics })
    }

    /// A fresh instance in a store of its own, with the time of a call.
    pub(crate) fn instantiate(&self) -> Result<(Store<Guest>, Actor)> {
        let mut store = Store::new(&self.engine, Guest::new(&self.limits, self.metrics.clone()));
        store.limiter(|guest| &mut guest.quota);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().allowance.renew()));
        allow(&mut store, self.limits.call_time);
        let actor = self.component.instantiate(&mut store)?;
        Ok((store, actor))
    }
}

/// Begins a call, and its time.
pub(crate) fn allow(store: &mut Store<Guest>, limit: Duration) {
    let guest = store.data_mut();
    guest.allowance = Allowance::new(limit);
    guest.quota.denied = false;
    guest.stderr.clear();
    store.set_epoch_deadline(1);
}

/// The host's side of one instance.
pub(crate) struct Guest {
    wasi: WasiCtx,
    resources: ResourceTable,
    quota: Quota,
    allowance: Allowance,
    stderr: Vec<u8>,
    /// Where its monotonic clock begins.
    start: Instant,
}

impl Guest {
    const MAX_STDERR_BYTES: usize = 4096;

    fn new(limits: &SandboxLimits, metrics: Arc<Metrics>) -> Self {
        metrics.instances.inc();
        Guest {
            wasi: WasiCtxBuilder::new().build(),
            resources: ResourceTable::new(),
            quota: Quota { memory_bytes: 0, denied: false, limits: limits.clone(), metrics },
            allowance: Allowance::new(limits.call_time),
            stderr: Vec::new(),
            start: Instant::now(),
        }
    }

    /// What its memories hold, which never shrink.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.quota.memory_bytes
    }

    /// Whether the call that runs asked for more.
    pub(crate) fn was_denied_memory(&self) -> bool {
        self.quota.denied
    }

    /// What the guest wrote to stderr, or stdout, so far.
    pub(crate) fn take_stderr(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.stderr)).trim().to_owned()
    }

    fn write_stderr(&mut self, bytes: &[u8]) {
        let room = Self::MAX_STDERR_BYTES.saturating_sub(self.stderr.len());
        self.stderr.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

/// What an instance has of what it may have.
struct Quota {
    memory_bytes: usize,
    /// In the call that runs, it asked for more memory than it may have.
    denied: bool,
    limits: SandboxLimits,
    metrics: Arc<Metrics>,
}

impl Drop for Quota {
    fn drop(&mut self) {
        self.metrics.instances.dec();
        self.metrics.instance_memory.sub(self.memory_bytes as i64);
    }
}

impl ResourceLimiter for Quota {
    /// wasmtime's own limits count for each memory; this one is for all of them together.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let grown = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= self.limits.memory_bytes;
        if allowed {
            self.metrics.instance_memory.add((grown - self.memory_bytes) as i64);
            self.memory_bytes = grown;
        }
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }
}

fn link(linker: &mut Linker<Guest>, component: &Component) -> Result<()> {
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, |guest| guest.wasi.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, |guest| guest.wasi.random())?;
    let mut clock = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI}"))?;
    clock.func_wrap("now", |store: StoreContextMut<'_, Guest>, ()| {
        Ok((store.data().start.elapsed().as_nanos() as u64,))
    })?;
    clock.func_wrap("resolution", |_, ()| Ok((1u64,)))?;
    // Empty, and not a trap: libraries ask for variables.
    cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::cli)?;
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{WASI}"))?;
    preopens.func_wrap("get-directories", |_, ()| Ok((Vec::<(Resource<Inert>, String)>::new(),)))?;
    link_output(linker)?;
    link_traps(linker, component)
}

/// What stands behind every resource: nothing.
type Inert = ();

/// Whatever else the component imports: functions that trap, and inert resources. `define_unknown_imports_as_traps`
/// would shadow the interfaces above where the component was built for another patch of WASI 0.2.
fn link_traps(linker: &mut Linker<Guest>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let unversioned = name.split_once("@0.2.").map(|(unversioned, _)| format!("{unversioned}@{WASI}"));
        let mut instance = linker.instance(unversioned.as_deref().unwrap_or(name))?;
        for (item, export) in interface.exports(&engine) {
            let called = format!("the sandbox has no {name} {item}");
            // An error says that it is defined already.
            let _ = match export.ty {
                ComponentItem::ComponentFunc(_) => {
                    instance.func_new(item, move |_, _, _, _| wasmtime::bail!("{called}"))
                }
                ComponentItem::Resource(_) => instance.resource(item, ResourceType::host::<Inert>(), |_, _| Ok(())),
                _ => Ok(()),
            };
        }
    }
    Ok(())
}

/// Both output streams write to the guest's [`Guest::write_stderr`], and never block.
fn link_output(linker: &mut Linker<Guest>) -> Result<()> {
    for stream in ["stdout", "stderr"] {
        let mut cli = linker.instance(&format!("wasi:cli/{stream}@{WASI}"))?;
        cli.func_wrap(&format!("get-{stream}"), |_, ()| Ok((Resource::<Inert>::new_own(0),)))?;
    }
    let mut streams = linker.instance(&format!("wasi:io/streams@{WASI}"))?;
    streams.func_wrap("[method]output-stream.check-write", |_, (_,): (Resource<Inert>,)| {
        Ok((Ok::<_, StreamError>(Guest::MAX_STDERR_BYTES as u64),))
    })?;
    for method in ["write", "blocking-write-and-flush"] {
        streams.func_wrap(
            &format!("[method]output-stream.{method}"),
            |mut store: StoreContextMut<'_, Guest>, (_, bytes): (Resource<Inert>, Vec<u8>)| {
                store.data_mut().write_stderr(&bytes);
                Ok((Ok::<(), StreamError>(()),))
            },
        )?;
    }
    // The libc waits for a stream before it writes: here a stream, and with it every pollable, is always ready.
    streams.func_wrap("[method]output-stream.subscribe", |_, (_,): (Resource<Inert>,)| {
        Ok((Resource::<Inert>::new_own(0),))
    })?;
    for method in ["flush", "blocking-flush"] {
        streams.func_wrap(&format!("[method]output-stream.{method}"), |_, (_,): (Resource<Inert>,)| {
            Ok((Ok::<(), StreamError>(()),))
        })?;
    }
    let mut poll = linker.instance(&format!("wasi:io/poll@{WASI}"))?;
    poll.func_wrap("[method]pollable.block", |_, (_,): (Resource<Inert>,)| Ok(()))?;
    poll.func_wrap("[method]pollable.ready", |_, (_,): (Resource<Inert>,)| Ok((true,)))?;
    Ok(())
}

#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface has them, the streams here never fail")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Inert>),
    #[component(name = "closed")]
    Closed,
}
