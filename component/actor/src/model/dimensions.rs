//! The largest dimensions of a policy. A file of 200 bytes may claim any: what a request takes depends on them.

use anyhow::{Result, ensure};

/// The most numbers of a state: four images of 512 by 512 pixels. Those of real policies are of 84 by 84 to 224 by 224.
const MAX_STATE_DIM: usize = 1 << 20;

/// The most numbers of an action. A robot has up to a hundred, and a portfolio one for each of some thousand assets.
const MAX_ACTION_DIM: usize = 1 << 14;

/// The most numbers of the states, or of the actions, that a graph may be fixed to at once. They take 16 MiB.
const MAX_FIXED: usize = 1 << 22;

pub fn check_state_dim(found: usize) -> Result<()> {
    ensure!(found <= MAX_STATE_DIM, "a state of {found} numbers: at most {MAX_STATE_DIM} are served");
    Ok(())
}

pub fn check_action_dim(found: usize) -> Result<()> {
    ensure!(found <= MAX_ACTION_DIM, "an action of {found} numbers: at most {MAX_ACTION_DIM} are served");
    Ok(())
}

/// Checks the rows of a graph that is fixed to so many `what` at once.
pub fn check_fixed(rows: usize, dim: usize, what: &str) -> Result<()> {
    ensure!(
        rows.saturating_mul(dim) <= MAX_FIXED,
        "the graph is fixed to {rows} {what} of {dim} numbers: at most {MAX_FIXED} numbers are served at once"
    );
    Ok(())
}
