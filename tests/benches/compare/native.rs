//! The ceiling: hyper and tract, the same JSON and the same stat, and no sandbox.

use std::cell::RefCell;
use std::collections::HashMap;
use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimLike, Factoid};

/// Serves one file until it is killed.
pub fn serve(path: PathBuf) -> Result<()> {
    let holder =
        Arc::new(Holder { service: ArcSwap::from_pointee(Loaded::read(&path)?), path, lock: Mutex::default() });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        eprintln!("listening on http://{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let holder = holder.clone();
            let answer = service_fn(move |request| {
                let holder = holder.clone();
                async move { Ok::<_, Infallible>(respond(&holder, request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    })
}

struct Holder {
    path: PathBuf,
    service: ArcSwap<Loaded>,
    lock: Mutex<()>,
}

type Identity = (u64, u64, u64, i64, i64, i64, i64);
type Plan = Arc<TypedSimplePlan>;

struct Loaded {
    one_row: Plan,
    /// For batches.
    graph: InferenceModel,
    batches: Mutex<HashMap<usize, Plan>>,
    state_dim: usize,
    identity: Identity,
    modified: String,
}

impl Holder {
    fn current(&self, forced: bool) -> Result<Arc<Loaded>> {
        let loaded = self.service.load_full();
        if !forced && loaded.identity == identity(&self.path)? {
            return Ok(loaded);
        }
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if forced || self.service.load().identity != identity(&self.path)? {
            self.service.store(Arc::new(Loaded::read(&self.path)?));
        }
        Ok(self.service.load_full())
    }
}

fn identity(path: &PathBuf) -> Result<Identity> {
    let stat = std::fs::metadata(path)?;
    Ok((stat.dev(), stat.ino(), stat.len(), stat.mtime(), stat.mtime_nsec(), stat.ctime(), stat.ctime_nsec()))
}

fn plan(graph: &InferenceModel, rows: usize, state_dim: usize) -> Result<Plan> {
    let fact = InferenceFact::dt_shape(f32::datum_type(), [rows, state_dim]);
    graph.clone().with_input_fact(0, fact)?.into_optimized()?.into_runnable()
}

impl Loaded {
    fn read(path: &PathBuf) -> Result<Self> {
        let identity = identity(path)?;
        let bytes = std::fs::read(path)?;
        let graph = tract_onnx::onnx().model_for_read(&mut &bytes[..])?;
        let shape = graph.input_fact(0)?.shape.dim(1).and_then(|dim| dim.concretize());
        let state_dim = shape.context("no state_dim")?.to_usize()?;
        let one_row = plan(&graph, 1, state_dim)?;
        let modified = Duration::new(identity.3 as u64, identity.4 as u32);
        let modified = humantime::format_rfc3339_micros(UNIX_EPOCH + modified).to_string().replace('Z', "+00:00");
        Ok(Loaded { one_row, graph, batches: Mutex::default(), state_dim, identity, modified })
    }

    fn predict(self: &Arc<Self>, state: &[f32]) -> Result<f32> {
        type Kept = Option<(Arc<Loaded>, TypedSimpleState)>;
        thread_local!(static KEPT: RefCell<Kept> = const { RefCell::new(None) });
        KEPT.with_borrow_mut(|kept| {
            if kept.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, self)) {
                *kept = Some((self.clone(), self.one_row.spawn()?));
            }
            let (_, plan) = kept.as_mut().context("a plan")?;
            let outputs = plan.run(tvec!(Tensor::from_shape(&[1, self.state_dim], state)?.into()))?;
            Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?[0].tanh())
        })
    }
}

impl Loaded {
    /// Computes the actions of row-major states.
    fn predict_batch(&self, states: &[f32]) -> Result<Vec<f32>> {
        let rows = states.len() / self.state_dim;
        let kept = self.batches.lock().unwrap_or_else(PoisonError::into_inner).get(&rows).cloned();
        let plan = match kept {
            Some(plan) => plan,
            None => {
                let made = plan(&self.graph, rows, self.state_dim)?;
                self.batches.lock().unwrap_or_else(PoisonError::into_inner).insert(rows, made.clone());
                made
            }
        };
        let outputs = plan.run(tvec!(Tensor::from_shape(&[rows, self.state_dim], states)?.into()))?;
        Ok(outputs[0].try_as_plain_ram()?.as_slice::<f32>()?.iter().map(|mean| mean.tanh()).collect())
    }
}

#[derive(Deserialize)]
struct PredictBatch {
    states: Vec<Vec<f32>>,
}

#[derive(Serialize)]
struct BatchPrediction<'a> {
    actions: Vec<f32>,
    batch_size: usize,
    model_path: &'a str,
    model_mtime_utc: &'a str,
    jit_compiled: bool,
    latency_ms: f64,
}

#[derive(Deserialize)]
struct Predict {
    state: Vec<f32>,
}

#[derive(Serialize)]
struct Prediction<'a> {
    action: f32,
    model_path: &'a str,
    model_mtime_utc: &'a str,
    jit_compiled: bool,
    latency_ms: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    warmup: usize,
    iterations: usize,
    batch_size: usize,
}

async fn respond(holder: &Holder, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let answer = match path.as_str() {
        "/sac/predict" => predict(holder, &body),
        "/sac/predict/batch" => predict_batch(holder, &body),
        "/sac/benchmark" => benchmark(holder, &body),
        "/sac/model/reload" => reload(holder),
        _ => Err(anyhow::anyhow!("Not Found")),
    };
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{{\"detail\":\"{error}\"}}").into()),
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::new(body.into())).unwrap_or_default()
}

fn predict(holder: &Holder, body: &[u8]) -> Result<Vec<u8>> {
    let loaded = holder.current(false)?;
    let Predict { state } = serde_json::from_slice(body)?;
    ensure!(state.len() == loaded.state_dim, "state_dim mismatch: got {}, expected {}", state.len(), loaded.state_dim);
    let start = Instant::now();
    let action = loaded.predict(&state)?;
    ensure!(action.is_finite(), "the action is not finite");
    let latency_ms = start.elapsed().as_nanos() as f64 / 1e6;
    let (model_path, model_mtime_utc) = (holder.path.to_str().unwrap_or_default(), loaded.modified.as_str());
    let answer = Prediction { action, model_path, model_mtime_utc, jit_compiled: true, latency_ms };
    Ok(serde_json::to_vec(&answer)?)
}

fn predict_batch(holder: &Holder, body: &[u8]) -> Result<Vec<u8>> {
    let loaded = holder.current(false)?;
    let PredictBatch { states } = serde_json::from_slice(body)?;
    ensure!(states.iter().all(|state| state.len() == loaded.state_dim), "a state has another length");
    let start = Instant::now();
    let actions = loaded.predict_batch(&states.concat())?;
    ensure!(actions.iter().all(|action| action.is_finite()), "an action is not finite");
    let latency_ms = start.elapsed().as_nanos() as f64 / 1e6;
    let (model_path, model_mtime_utc) = (holder.path.to_str().unwrap_or_default(), loaded.modified.as_str());
    let (batch_size, jit_compiled) = (states.len(), true);
    let answer = BatchPrediction { actions, batch_size, model_path, model_mtime_utc, jit_compiled, latency_ms };
    Ok(serde_json::to_vec(&answer)?)
}

fn reload(holder: &Holder) -> Result<Vec<u8>> {
    let loaded = holder.current(true)?;
    Ok(serde_json::to_vec(&serde_json::json!({ "mtime_utc": loaded.modified }))?)
}

fn benchmark(holder: &Holder, body: &[u8]) -> Result<Vec<u8>> {
    let loaded = holder.current(false)?;
    let Benchmark { warmup, iterations, batch_size } = serde_json::from_slice(body)?;
    let mut plan = plan(&loaded.graph, batch_size, loaded.state_dim)?.spawn()?;
    let states = vec![0f32; batch_size * loaded.state_dim];
    let mut times = Vec::with_capacity(iterations);
    for index in 0..warmup + iterations {
        let start = Instant::now();
        plan.run(tvec!(Tensor::from_shape(&[batch_size, loaded.state_dim], &states)?.into()))?;
        if index >= warmup {
            times.push(start.elapsed().as_nanos() as f64 / 1e6);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(serde_json::to_vec(&serde_json::json!({ "p50_ms": times[times.len() / 2] }))?)
}
