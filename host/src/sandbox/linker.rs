//! Links what the component can reach: clocks, randomness, and a stderr that is kept for panic messages.
//!
//! The standard library of wasip2 imports more. The environment is empty, no folder is preopened, and every other function
//! traps. wasmtime-wasi's synchronous streams are not used, because they block on a runtime, and that panics on a thread of
//! a runtime.

use anyhow::Result;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Linker, Lower, Resource, ResourceType};
use wasmtime::{Engine, StoreContextMut};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::p2::bindings::{cli, clocks, random};
use wasmtime_wasi::random::WasiRandom;

use crate::sandbox::guest::Guest;

/// The version of wasmtime-wasi's interfaces. A component may have been built for another patch of 0.2.
const WASI: &str = "0.2.12";

/// The representation of every resource. No resource has content.
type Inert = ();

/// Returns a linker with everything that `component` imports.
pub(crate) fn linker(engine: &Engine, component: &Component) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    link_clocks(&mut linker)?;
    random::random::add_to_linker::<_, WasiRandom>(&mut linker, Guest::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(&mut linker, Guest::random)?;
    // Libraries read variables, so the environment is empty and does not trap.
    cli::environment::add_to_linker::<_, WasiCli>(&mut linker, Guest::cli)?;
    cli::exit::add_to_linker::<_, WasiCli>(&mut linker, Guest::cli)?;
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{WASI}"))?;
    preopens.func_wrap("get-directories", |_, ()| Ok((Vec::<(Resource<Inert>, String)>::new(),)))?;
    link_output(&mut linker)?;
    link_traps(&mut linker, component)?;
    Ok(linker)
}

fn link_clocks(linker: &mut Linker<Guest>) -> Result<()> {
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Guest::clocks)?;
    let mut clock = linker.instance(&format!("wasi:clocks/monotonic-clock@{WASI}"))?;
    clock.func_wrap("now", |store: StoreContextMut<'_, Guest>, ()| Ok((store.data().elapsed().as_nanos() as u64,)))?;
    clock.func_wrap("resolution", |_, ()| Ok((1u64,)))?;
    Ok(())
}

/// Links both output streams to [`Guest::write_stderr`]. They never block.
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
    // The libc waits for a stream before it writes. Every stream and every pollable is always ready.
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

/// Links every other import: a function traps, and a resource is inert. `define_unknown_imports_as_traps` would shadow the
/// interfaces above if the component was built for another patch of WASI 0.2.
fn link_traps(linker: &mut Linker<Guest>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        let ComponentItem::ComponentInstance(interface) = import.ty else { continue };
        let unversioned = name.split_once("@0.2.").map(|(unversioned, _)| format!("{unversioned}@{WASI}"));
        let mut instance = linker.instance(unversioned.as_deref().unwrap_or(name))?;
        for (item, export) in interface.exports(&engine) {
            let called = format!("the sandbox has no {name} {item}");
            // An error means that the item is linked already.
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

#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "the interface declares them, and these streams never fail")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Inert>),
    #[component(name = "closed")]
    Closed,
}
