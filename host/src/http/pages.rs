//! The files of the dashboard and of the documentation. All of them are embedded, and none loads anything from elsewhere.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use utoipa_swagger_ui::Config;

use crate::http::page::Page;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// The files by their paths. They name one another by relative addresses, so that they work below a prefix.
const FILES: [(&str, &str, &str); 21] = [
    ("/", HTML, include_str!("../../pages/dashboard.html")),
    ("/axes.js", JS, include_str!("../../pages/axes.js")),
    ("/candidates.js", JS, include_str!("../../pages/candidates.js")),
    ("/charts.js", JS, include_str!("../../pages/charts.js")),
    ("/condition.js", JS, include_str!("../../pages/condition.js")),
    ("/dashboard.css", CSS, include_str!("../../pages/dashboard.css")),
    ("/dashboard.js", JS, include_str!("../../pages/dashboard.js")),
    ("/docs.css", CSS, include_str!("../../pages/docs.css")),
    ("/docs.js", JS, include_str!("../../pages/docs.js")),
    ("/dom.js", JS, include_str!("../../pages/dom.js")),
    ("/format.js", JS, include_str!("../../pages/format.js")),
    ("/model.js", JS, include_str!("../../pages/model.js")),
    ("/numbers.js", JS, include_str!("../../pages/numbers.js")),
    ("/policies.js", JS, include_str!("../../pages/policies.js")),
    ("/server.js", JS, include_str!("../../pages/server.js")),
    ("/state.js", JS, include_str!("../../pages/state.js")),
    ("/swaps.js", JS, include_str!("../../pages/swaps.js")),
    ("/try.js", JS, include_str!("../../pages/try.js")),
    ("/uplot/LICENSE", TEXT, include_str!("../../pages/uplot/LICENSE")),
    ("/uplot/uPlot.iife.min.js", JS, include_str!("../../pages/uplot/uPlot.iife.min.js")),
    ("/uplot/uPlot.min.css", CSS, include_str!("../../pages/uplot/uPlot.min.css")),
];
const DOCS: &str = include_str!("../../pages/docs.html");

/// `docs.js` configures Swagger UI. Its own page is not used.
static SWAGGER_UI: LazyLock<Arc<Config<'static>>> = LazyLock::new(Arc::default);

/// Returns a file of the dashboard.
pub(crate) fn dashboard(path: &str) -> Option<Page> {
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    Some(Page::new(path, kind, Bytes::from_static(content.as_bytes())))
}

/// Returns a file of the documentation by its path below `/docs/`: the page, or a file of Swagger UI, which draws it.
pub(crate) fn docs(path: &str) -> Option<Page> {
    if matches!(path, "" | "index.html") {
        return Some(Page::new("index.html", HTML, Bytes::from_static(DOCS.as_bytes())));
    }
    // An error would mean that an embedded file is broken. A test loads the page.
    let file = utoipa_swagger_ui::serve(path, SWAGGER_UI.clone()).ok()??;
    let bytes = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Some(Page::new(path, &file.content_type, bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_pages_is_served_and_names_no_absolute_address() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pages");
        let of = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let is_page =
            |path: &Path| path.extension().is_some_and(|kind| kind == "js" || kind == "css" || kind == "html");
        let files = [of(&folder), of(&folder.join("uplot"))].concat().into_iter().filter(|path| is_page(path));
        let served = FILES.iter().map(|(_, _, content)| *content).chain([DOCS]).collect::<Vec<_>>();
        for path in files {
            let content = fs::read_to_string(&path).unwrap();
            assert!(served.contains(&content.as_str()), "{} is not served", path.display());
            for absolute in ["href=\"/", "src=\"/", "from \"/", "ask(\"/", "fetch(\"/"] {
                assert!(!content.contains(absolute), "{} has {absolute}", path.display());
            }
        }
    }
}
