use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, anyhow, bail};
use sac_owner::Source;

use crate::owner::wit::{Activation, OnRefusal};

/// The environment's word, under the names that the host has.
pub struct Config {
    pub source: Source,
    pub jit: bool,
    pub activation: Option<Activation>,
    pub on_bad_checkpoint: OnRefusal,
    pub max_body_bytes: usize,
    pub max_batch: u32,
    pub tokens: Vec<String>,
}

impl Config {
    pub fn from_env() -> Result<Self> {
        let path = |name| env::var_os(name).map(PathBuf::from);
        let (model, dir, home) = (path("STAT_PAIR_RL_MODEL"), path("STAT_PAIR_RL_DIR"), path("HOME"));
        let mut source = Source::new(model.as_deref(), dir.as_deref(), home.as_deref());
        source.limits.max_bytes = number("SAC_MAX_CHECKPOINT_BYTES", source.limits.max_bytes)?;
        Ok(Config {
            source,
            jit: set("STAT_PAIR_RL_JIT").is_none_or(|value| is_true(&value)),
            activation: set("SAC_ACTIVATION").map(|name| activation(&name)).transpose()?,
            on_bad_checkpoint: match set("SAC_ON_BAD_CHECKPOINT").as_deref() {
                None | Some("keep") => OnRefusal::Keep,
                Some("fail") => OnRefusal::Fail,
                Some(other) => {
                    return Err(anyhow!("SAC_ON_BAD_CHECKPOINT: `keep` or `fail` is expected, found {other:?}"));
                }
            },
            max_body_bytes: number("SAC_MAX_BODY_BYTES", 8 << 20)?,
            max_batch: number("SAC_MAX_BATCH", 4096)?,
            tokens: set("SAC_API_TOKEN").into_iter().collect(),
        })
    }
}

/// A variable's value; a blank one is unset.
fn set(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn is_true(value: &str) -> bool {
    !matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "f" | "no" | "n" | "off")
}

fn activation(name: &str) -> Result<Activation> {
    Ok(match name {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu,
        "elu" => Activation::Elu,
        "silu" => Activation::Silu,
        "gelu" => Activation::Gelu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        other => {
            bail!("SAC_ACTIVATION: relu, leaky_relu, elu, silu, gelu, tanh or sigmoid is expected, found {other:?}")
        }
    })
}

fn number<T: FromStr>(name: &str, default: T) -> Result<T> {
    match set(name) {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| anyhow!("{name}: a whole number is expected, found {value:?}")),
    }
}
