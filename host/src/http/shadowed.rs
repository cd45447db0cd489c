//! The shadows of the policies that requests ask for: what they compute, and the route that promotes one.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::http::error::{Error, json};
use crate::http::found::{Found, info_call};
use crate::http::peer::Peer;
use crate::http::service::SacService;
use crate::observe::metrics::{MAX_LABELS, ShadowGauges};
use crate::sandbox::bindings::Decision;
use crate::shadows::promotion::{PromotionRequest, promote};
use crate::shadows::shadow::Shadow;
use crate::shadows::state::ShadowState;
use crate::swap::call::Call;
use crate::swap::generation::Generation;

/// The route that puts a shadow into service. The host answers it, for the component has no files.
pub(crate) const PROMOTE: &str = "/sac/model/promote";

impl SacService {
    /// Returns `true` if a call promotes a shadow.
    ///
    /// # Errors
    /// Without shadows there is no such route.
    pub(super) fn is_promotion(&self, call: &Call) -> Result<bool, Error> {
        match self.shadows() {
            Some(_) => Ok(call.path == PROMOTE),
            // The component refuses a body over the limit, which outranks this.
            None if call.path == PROMOTE && call.body.is_some() => Err(Error::NoShadows),
            None => Ok(false),
        }
    }

    /// Lets a shadow compute a decision that was made. It is for none, or for one of those that were chosen.
    pub(super) fn shadow_decision(&self, found: &Found<'_>, generation: &Generation, decision: Decision) {
        if let (Some(shadows), Some(shadow)) = (self.shadows(), self.shadow(found)) {
            shadows.offer(shadow, generation, decision);
        }
    }

    /// Promotes the shadow of a policy, if the client is authorised.
    pub(super) async fn promote(
        &self,
        found: &Found<'_>,
        call: &Call,
        peer: Option<&Peer>,
    ) -> Result<Response<Full<Bytes>>, Error> {
        if call.method != Method::POST {
            return Err(Error::NotPost);
        }
        // The component decides who is authorised.
        let info = self.answer(found, info_call(call.authorization.clone()), peer, true).await?;
        if info.status == StatusCode::UNAUTHORIZED {
            return self.convert(info);
        }
        let body = call.body.as_deref().unwrap_or_default();
        let request = match body.is_empty() {
            true => PromotionRequest::default(),
            false => serde_json::from_slice(body).map_err(Error::Promotion)?,
        };
        let shadow = self.shadow(found).ok_or(Error::NotFound)?;
        let promoted = promote(found.holder(), shadow, &request).await?;
        let body = serde_json::to_vec(&promoted).map_err(|error| Error::Internal(error.into()))?;
        Ok(json(StatusCode::OK, body.into()))
    }

    /// Describes the shadow of a policy, if it has one.
    pub(crate) fn shadow_state(&self, found: &Found<'_>) -> Option<ShadowState> {
        self.shadow(found)?.state()
    }

    /// Sets the metrics of all shadows.
    pub(super) fn set_shadow_metrics(&self) {
        let Some(shadows) = self.shadows() else { return };
        let own = self.own().and_then(|own| Some((own.name.to_string(), own.shadow.clone()?)));
        let of_root = self.policies().into_iter().flat_map(|policies| policies.shadows());
        let states = own.into_iter().chain(of_root).filter_map(|(policy, shadow)| {
            let state = shadow.state()?;
            let (mean, max, above) = (state.difference_mean?, state.difference_max?, state.above_threshold?);
            Some(ShadowGauges { policy, rows: state.rows, mean, max, above })
        });
        shadows.metrics().set(&states.take(MAX_LABELS).collect::<Vec<_>>());
    }

    fn shadow<'a>(&self, found: &'a Found<'_>) -> Option<&'a Arc<Shadow>> {
        match found {
            Found::Own(own) => own.shadow.as_ref(),
            Found::Policy(policy) => policy.shadow(),
        }
    }
}
