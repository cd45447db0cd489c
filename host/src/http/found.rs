//! Finds the policy that answers a request.

use std::sync::Arc;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use sac_owner::settings::{DefaultPolicy, ModelName};
use sac_owner::{REFUSALS, one_line};

use crate::config::Config;
use crate::http::error::Error;
use crate::http::exchange::text;
use crate::http::service::SacService;
use crate::policies::find_error::FindError;
use crate::policies::policy::Policy;
use crate::policies::registry::Registry;
use crate::policies::share;
use crate::sandbox::bindings;
use crate::sandbox::factory::SetupError;
use crate::shadows;
use crate::shadows::shadow::Shadow;
use crate::swap::call::{AnswerError, Call};
use crate::swap::holder::Holder;
use crate::swap::own::Own;
use crate::swap::shared::Shared;

/// The policy of [`Config::source`].
pub(crate) struct OwnPolicy {
    pub(crate) holder: Arc<Holder>,
    /// Its shadow, if it has one.
    pub(crate) shadow: Option<Arc<Shadow>>,
    /// The value of the label `policy` in metrics.
    pub(crate) name: ModelName,
}

/// A policy that answers a request.
pub(crate) enum Found<'a> {
    /// That of [`Config::source`].
    Own(&'a OwnPolicy),
    /// One of the root. It is in use until this is dropped.
    Policy(Arc<Policy>),
}

impl Found<'_> {
    pub(crate) fn holder(&self) -> &Arc<Holder> {
        match self {
            Found::Own(own) => &own.holder,
            Found::Policy(policy) => policy.holder(),
        }
    }

    /// Returns the name of a policy of the root.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Found::Own(_) => None,
            Found::Policy(policy) => Some(policy.name().as_str()),
        }
    }
}

/// The outcome of [`SacService::admit`].
pub(crate) enum Admitted<'a> {
    Policy(Found<'a>),
    /// The component refuses the call.
    Refused(bindings::Response),
}

/// The number of policies that an error names.
const MOST_NAMES: usize = 20;

/// The requests for policies that are not loaded.
const COLD: &str = "requests for policies that are not loaded";

impl SacService {
    /// Returns the default policy. `soon` is as in [`Registry::find`](crate::policies::registry::Registry::find).
    pub(crate) async fn main(&self, soon: bool) -> Result<Found<'_>, Error> {
        if let Some(own) = self.own() {
            return Ok(Found::Own(own));
        }
        let policies = self.policies().ok_or(Error::NotFound)?;
        let name = policies.settings().default.name().ok_or(Error::NoDefault)?;
        Ok(Found::Policy(policies.find(name, soon).await?))
    }

    /// Returns the policy of the root for a call. A call that the component refuses whatever the policy is, as that of a client
    /// that is not authorised, loads none.
    pub(crate) async fn admit(&self, name: Option<&str>, call: &Call, soon: bool) -> Result<Admitted<'_>, Error> {
        let policies = self.policies().ok_or(Error::NotFound)?;
        let name = name.or(policies.settings().default.name()).ok_or(Error::NoDefault)?;
        if let Some(policy) = policies.get(name) {
            return self.share(policy, soon);
        }
        // Where storage does not answer, requests for policies that are loaded have the other places.
        let _place = if soon { None } else { Some(policies.cold_place().ok_or(Error::Busy(COLD))?) };
        // The component does not know the route of a promotion.
        let path = if self.is_promotion(call)? { "/sac/model/reload" } else { &call.path };
        let blank = Call {
            method: call.method.clone(),
            path: policies.blank_path(name, path),
            authorization: call.authorization.clone(),
            inference_header: None,
            body: call.body.as_ref().map(|_| Bytes::new()),
            wants_decision: false,
            is_sampled: false,
        };
        // Where this fails, the policy's own instance decides.
        let answer = policies.answer(&blank, &self.tokens().current(Some(name)).await).await.ok().flatten();
        match answer.filter(|answer| REFUSALS.contains(&answer.status)) {
            Some(answer) => Ok(Admitted::Refused(answer)),
            None => {
                let found = match policies.find(name, soon).await {
                    Err(FindError::None) => return Err(self.no_policy(policies, name, &call.authorization).await),
                    found => found?,
                };
                self.share(found, soon)
            }
        }
    }

    /// Returns the error of a name that no policy has. A client with a token for all policies learns which there are.
    async fn no_policy(&self, policies: &Arc<Registry>, name: &str, authorization: &Option<String>) -> Error {
        let detail = format!("no policy `{}`", one_line(name));
        let info = self.authorise_by(authorization.clone()).await;
        if info.is_ok_and(|info| info.status != StatusCode::UNAUTHORIZED)
            && let Some(names) = policies.names().await
        {
            return Error::NoPolicy(format!("{detail}: {}", listed(&names)));
        }
        Error::NoPolicy(detail)
    }

    /// Returns a policy, unless other requests for it take its share of the places. Health takes none.
    fn share(&self, policy: Arc<Policy>, soon: bool) -> Result<Admitted<'_>, Error> {
        let has_place = soon || policy.requests_in_flight() <= share(self.max_in_flight());
        if has_place {
            Ok(Admitted::Policy(Found::Policy(policy)))
        } else {
            Err(Error::Busy("requests for this policy"))
        }
    }

    /// Returns a policy of the root, or the default policy, for a client that is authorised. The component decides who is.
    pub(super) async fn authorised(&self, name: Option<&str>, headers: &HeaderMap) -> Result<Admitted<'_>, Error> {
        let call = info_call(text(headers, &AUTHORIZATION));
        let found = match (self.own(), name) {
            (Some(own), None) => Found::Own(own),
            _ => match self.admit(name, &call, false).await? {
                Admitted::Policy(found) => found,
                refused => return Ok(refused),
            },
        };
        let info = self.answer(&found, call, None, true).await?;
        Ok(if info.status == StatusCode::UNAUTHORIZED { Admitted::Refused(info) } else { Admitted::Policy(found) })
    }

    /// Returns the component's response to `/sac/model/info` for the default policy: 401 if the client is not authorised,
    /// and 503 or 500 if there is no model.
    pub(crate) async fn info(&self, headers: &HeaderMap) -> Result<bindings::Response, Error> {
        if let Some(own) = self.own() {
            return self.answer(&Found::Own(own), info_call(text(headers, &AUTHORIZATION)), None, true).await;
        }
        let answer = self.authorise(headers).await?;
        match self.main(true).await {
            Ok(main) if answer.status != 401 => {
                self.answer(&main, info_call(text(headers, &AUTHORIZATION)), None, true).await
            }
            _ => Ok(answer),
        }
    }

    /// Returns as [`SacService::info`] does, but asks no policy of the root: 401 if the client is not authorised.
    pub(crate) async fn authorise(&self, headers: &HeaderMap) -> Result<bindings::Response, Error> {
        self.authorise_by(text(headers, &AUTHORIZATION)).await
    }

    async fn authorise_by(&self, authorization: Option<String>) -> Result<bindings::Response, Error> {
        let policies = self.policies().ok_or(Error::NotFound)?;
        let answer = policies.answer(&info_call(authorization), &self.tokens().current(None).await).await?;
        Ok(answer.ok_or(AnswerError::NoAnswer("did not answer without a policy"))?)
    }
}

/// Says which policies there are.
fn listed(names: &[ModelName]) -> String {
    let shown = names.iter().take(MOST_NAMES).map(ModelName::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "no sub-folder of the root has a candidate yet".to_owned(),
        1 => format!("the only policy is {shown}"),
        all if all <= MOST_NAMES => format!("the policies are {shown}"),
        all => format!("GET /policies lists all {all}, such as {shown}"),
    }
}

/// Makes the policy of [`Config::source`], if it is the default policy. Blocks for an instance.
pub(super) fn own(shared: &Arc<Shared>, config: &Config) -> Result<Option<Arc<OwnPolicy>>, SetupError> {
    if config.root.as_ref().is_some_and(|root| !matches!(root.default, DefaultPolicy::Source)) {
        return Ok(None);
    }
    let (factory, sizes) = (shared.factory().clone(), shared.all_workers());
    let own = Own { source: config.source.clone(), factory, sizes, bounds: None, number: 0, is_shadow: false };
    let (shadow, name) = (shadows::of(shared, &own), config.model_name.clone());
    let holder = Arc::new(Holder::new(shared, own));
    // A component that does not start is an error here, and not that of a request.
    holder.start().map_err(SetupError::Start)?;
    Ok(Some(Arc::new(OwnPolicy { holder, shadow, name })))
}

/// Returns a request for `/sac/model/info` by a client with this Authorization header.
pub(super) fn info_call(authorization: Option<String>) -> Call {
    Call {
        method: Method::GET,
        path: "/sac/model/info".to_owned(),
        authorization,
        inference_header: None,
        body: Some(Bytes::new()),
        wants_decision: false,
        is_sampled: false,
    }
}
