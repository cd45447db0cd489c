//! The values of the label `route`. A client cannot create others.

/// The label of every path that has no route.
pub(crate) const OTHER: &str = "other";

/// The labels. The last is [`OTHER`].
pub(crate) const ROUTES: [&str; 17] = [
    "/sac/predict",
    "/sac/predict/batch",
    "/sac/health",
    "/sac/model/info",
    "/sac/model/reload",
    "/sac/model/promote",
    "/sac/model/candidates",
    "/sac/stream",
    "/sac/benchmark",
    "/sac/openapi.json",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/:model_name",
    "/v2/models/:model_name/ready",
    "/v2/models/:model_name/infer",
    OTHER,
];

/// Returns the label of a path.
pub(crate) fn label(path: &str) -> &'static str {
    let known = |path: &str| ROUTES.into_iter().find(|route| *route == path && *route != OTHER);
    known(path).or_else(|| model_label(path)).unwrap_or(OTHER)
}

/// Returns the label of a route of a model, whatever its name and version.
fn model_label(path: &str) -> Option<&'static str> {
    let mut segments = path.strip_prefix("/v2/models/")?.split('/').skip(1);
    match (segments.next(), segments.next(), segments.next(), segments.next()) {
        (None, ..) | (Some("versions"), Some(_), None, _) => Some("/v2/models/:model_name"),
        (Some("ready"), None, ..) | (Some("versions"), Some(_), Some("ready"), None) => {
            Some("/v2/models/:model_name/ready")
        }
        (Some("infer"), None, ..) | (Some("versions"), Some(_), Some("infer"), None) => {
            Some("/v2/models/:model_name/infer")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_one_of_the_labels() {
        assert_eq!(label("/sac/predict"), "/sac/predict");
        assert_eq!(label("/v2/models/a"), "/v2/models/:model_name");
        assert_eq!(label("/v2/models/a/versions/3"), "/v2/models/:model_name");
        assert_eq!(label("/v2/models/a/ready"), "/v2/models/:model_name/ready");
        assert_eq!(label("/v2/models/a/versions/3/infer"), "/v2/models/:model_name/infer");
        for other in [
            "",
            "/",
            "other",
            "/sac/",
            "/v2/x",
            "/v2/models/a/x",
            "/v2/models/a/infer/x",
            "/v2/models/a/versions/3/infer/x",
        ] {
            assert_eq!(label(other), OTHER, "{other}");
        }
    }
}
