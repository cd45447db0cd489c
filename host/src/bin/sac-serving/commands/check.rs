//! The command `config check`.

use std::io::{self, Write};

use anyhow::Result;
use sac_serving::{Config, HttpConfig};
use serde_json::{Value, json};

use crate::args::file::Setting;
use crate::args::serve::ServeArgs;
use crate::commands::serve::configured;

/// Reads everything that `serve` reads before it listens, and prints each setting as it would be in force.
pub fn run(args: &ServeArgs, defaults: Config, settings: &[Setting], json: bool) -> Result<()> {
    let (config, http) = configured(args, defaults)?;
    let mut settings = settings.to_vec();
    complete(&mut settings, args, &config, &http);
    let mut out = io::stdout().lock();
    if json {
        let setting =
            |Setting { name, value, origin }: &Setting| (name.clone(), json!({ "value": value, "origin": origin }));
        return Ok(writeln!(out, "{:#}", Value::Object(settings.iter().map(setting).collect()))?);
    }
    let longest = |width: fn(&Setting) -> usize| settings.iter().map(width).max().unwrap_or(0) + 2;
    let names = longest(|setting| setting.name.len());
    for Setting { name, value, origin } in &settings {
        let value = value.as_deref().unwrap_or("–");
        writeln!(out, "{name:<names$}{value:<32}  {origin}")?;
    }
    Ok(())
}

/// Adds the values that are in force although nothing sets them: those that are computed, and the place that the argument names.
fn complete(settings: &mut [Setting], args: &ServeArgs, config: &Config, http: &HttpConfig) {
    let source = config.source.path().display().to_string();
    let is_served = config.root.as_ref().is_none_or(|root| matches!(root.default, sac_serving::DefaultPolicy::Source));
    let (model, dir) = match config.source.folder() {
        _ if !is_served => (None, None),
        None => (Some(source), None),
        Some(_) => (None, Some(source)),
    };
    let listen = args.listen();
    let listen_origin =
        settings.iter().find(|setting| setting.name == "listen").map_or("default", |setting| setting.origin);
    let cache = config.cache_dir.as_ref().map(|folder| folder.display().to_string());
    let computed = [
        ("model", model),
        ("dir", dir),
        ("listen", Some(listen.to_string())),
        ("port", Some(listen.port().to_string())),
        ("workers", Some(config.workers.to_string())),
        ("max-instance-bytes", Some(config.sandbox.memory_bytes.to_string())),
        ("max-memory", Some(config.sandbox.total_memory_bytes.to_string())),
        ("max-connections", Some(http.max_connections.to_string())),
        ("max-connections-per-address", Some(http.per_address().to_string())),
        ("cache-dir", cache),
    ];
    for (name, value) in computed {
        let Some(setting) = settings.iter_mut().find(|setting| setting.name == name) else { continue };
        // The argument outranks the flags, which may be variables.
        let is_outranked = args.path.is_some() && matches!(name, "model" | "dir");
        if is_outranked {
            setting.origin = if value.is_some() { "argument" } else { "default" };
        }
        if name == "port" && setting.value.is_none() {
            setting.origin = listen_origin;
        }
        if is_outranked || value.is_some() {
            setting.value = value;
        }
    }
}
