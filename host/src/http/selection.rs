//! The candidates of a policy, and the choice of one of them: a rollback, or a pin. The component has no files, so the host answers.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use sac_owner::{Candidate, path_line};
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::http::body::BodyReader;
use crate::http::error::{Error, json};
use crate::http::form::Form;
use crate::http::found::Admitted;
use crate::http::service::SacService;
use crate::swap::generation::Loaded;
use crate::swap::history::utc;
use crate::swap::holder::Holder;
use crate::swap::publisher::Reloaded;
use crate::swap::snapshot::Snapshot;
use crate::swap::trial::TrialError;
use crate::work::crew::Crew;

/// The number of candidates that are listed.
const LISTED: usize = 100;
/// A body names a file, so it is short.
static BODIES: LazyLock<BodyReader> = LazyLock::new(|| BodyReader::new(4096, Duration::from_secs(30)));

/// The candidates of a policy.
#[derive(Serialize)]
struct Candidates {
    /// True if the server was started with `--allow-rollback`.
    may_select: bool,
    /// Newest first.
    candidates: Vec<Listed>,
}

#[derive(Serialize)]
struct Listed {
    file: String,
    mtime_utc: String,
    size_bytes: u64,
    in_service: bool,
    pinned: bool,
    /// The reason for which it is known to be refused.
    refusal: Option<String>,
}

/// Chooses a candidate.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    file: String,
    /// Keeps it in service although others are written later.
    #[serde(default)]
    pin: bool,
}

#[derive(Serialize)]
struct Selected {
    status: &'static str,
    model_path: String,
    sha256: String,
    generation: u64,
    pinned: bool,
}

impl SacService {
    /// Lists the candidates of a policy, or chooses one, if the client is authorised.
    pub(super) async fn candidates<B: Body>(&self, request: Request<B>) -> Result<Response<Full<Bytes>>, Error> {
        let (parts, body) = request.into_parts();
        if ![Method::GET, Method::HEAD, Method::POST].contains(&parts.method) {
            let mut response = Error::MethodNotAllowed.into_response(Form::Detail);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            return Ok(response);
        }
        let selection =
            if parts.method == Method::POST { Some(BODIES.read(&parts.headers, body).await?.0) } else { None };
        // A body that comes slowly keeps no other request out.
        let _permit = self.permit(None)?;
        let policy = self.address(parts.uri.path()).policy;
        let found = match self.authorised(policy, &parts.headers).await? {
            Admitted::Policy(found) => found,
            Admitted::Refused(answer) => return self.convert(answer),
        };
        let holder = found.holder();
        let body = match selection {
            Some(_) if !holder.allows_rollback() => return Err(Error::NoRollback),
            Some(selection) => {
                let selection = serde_json::from_slice(&selection).map_err(Error::Selection)?;
                serde_json::to_vec(&select(holder, selection).await?)
            }
            None => serde_json::to_vec(&list(holder).await?),
        };
        Ok(json(StatusCode::OK, body.map_err(|error| Error::Internal(error.into()))?.into()))
    }
}

async fn list(holder: &Arc<Holder>) -> Result<Candidates, Error> {
    let serving = holder.latest().generation.loaded.as_ref().map(|loaded| loaded.content.path.clone());
    let candidates = on_storage(holder, move |holder| {
        let candidates = holder.source().candidates()?;
        let listed = |candidate: &Candidate| {
            let refusal = holder.refusal(candidate).map(|refused| refused.detail.clone());
            Listed::new(candidate, serving.as_deref(), refusal)
        };
        Ok(candidates.iter().take(LISTED).map(listed).collect())
    });
    let candidates = candidates.await?.map_err(|error: std::io::Error| Error::Storage(error.into()))?;
    Ok(Candidates { may_select: holder.allows_rollback(), candidates })
}

async fn select(holder: &Arc<Holder>, Selection { file, pin }: Selection) -> Result<Selected, Error> {
    // A file that does not load is not touched: pinned, it would leave the policy stale for good.
    let (candidate, refusal) = {
        let file = file.clone();
        let found = on_storage(holder, move |holder| {
            let candidate = holder.source().candidate(&file)?;
            let refusal = holder.refusal(&candidate);
            Ok((candidate, refusal))
        });
        found.await?.map_err(Error::NotSelected)?
    };
    if let Some(refused) = refusal.filter(|refused| !refused.may_pass) {
        return Err(Error::SelectedRefused(file, refused.detail.clone()));
    }
    holder.try_out(candidate).await.map_err(|error| not_selected(&file, error))?;
    let selected = on_storage(holder, move |holder| {
        let path = holder.source().select(&file, pin)?;
        Ok(path.canonicalize().unwrap_or(path))
    });
    let path = selected.await?.map_err(Error::NotSelected)?;
    info!(path = %path_line(&path), pinned = pin, "a client chose the checkpoint that serves");
    let mut current = holder.current().await;
    if serving(&current, &path).is_none() {
        // Its load took longer than a request waits, or it has changed meanwhile.
        let Reloaded { outcome, snapshot } = holder.force_reload().await;
        outcome.map_err(Error::SelectedNotInService)?;
        current = snapshot;
    }
    let loaded = serving(&current, &path).ok_or_else(|| Error::SelectedNotInService("a newer one is".to_owned()))?;
    let (model_path, sha256) = (path.to_string_lossy().into_owned(), loaded.content.sha256().to_owned());
    Ok(Selected { status: "selected", model_path, sha256, generation: current.generation.number, pinned: pin })
}

fn not_selected(file: &str, error: TrialError) -> Error {
    match error {
        TrialError::Busy => Error::Busy("choices for this policy"),
        TrialError::Failed(failure) if failure.may_pass => Error::SelectedUnread(file.to_owned(), failure.detail),
        TrialError::Failed(failure) => Error::SelectedRefused(file.to_owned(), failure.detail),
        TrialError::Thread(error) => error.into(),
    }
}

fn serving<'a>(current: &'a Snapshot, path: &Path) -> Option<&'a Loaded> {
    current.generation.loaded.as_ref().filter(|loaded| loaded.content.path == path)
}

async fn on_storage<T: Send + 'static>(
    holder: &Arc<Holder>,
    work: impl FnOnce(&Holder) -> T + Send + 'static,
) -> Result<T, Error> {
    let (crew, policy): (&Crew, _) = (holder.storage(), holder.clone());
    Ok(crew.run(move |_| work(&policy)).await?)
}

impl Listed {
    fn new(candidate: &Candidate, serving: Option<&Path>, refusal: Option<String>) -> Self {
        let state = &candidate.state;
        let in_service = serving.is_some() && state.path.canonicalize().ok().as_deref() == serving;
        Listed {
            file: candidate.name(),
            mtime_utc: utc(state.identity.modified),
            size_bytes: state.identity.size,
            in_service,
            pinned: candidate.is_pinned(),
            refusal,
        }
    }
}
