//! Runs routing policies in virtual time against scripted worlds.
//!
//! A discrete-event simulation around the code that the gateway itself runs (statistics,
//! rows, plans, their execution, budgets, affinity: all of `torana-routing`). Only the clock
//! and the endpoints differ. Everything random comes from a seed, so a run can be repeated
//! exactly, and two policies meet the same luck.
//!
//! | file | owns |
//! |---|---|
//! | `scenario`, `arrivals`, `fault` | what is simulated: endpoints, requests, what goes wrong |
//! | `history` | recorded traffic as a scenario |
//! | `router` | who is asked where a request goes |
//! | `run` | the event loop: from arrival to the last token |
//! | `gateway` | what the gateway knows and does around a policy |
//! | `world` | what becomes of an attempt: load, faults, caches, prices |
//! | `oracle` | whoever knows the true state: what regret is measured against |
//! | `tally`, `outage` | what a run came to |
//! | `bootstrap`, `report`, `plot` | what many runs came to, and how it is shown |
//! | `random` | the same luck for every policy |

pub mod arrivals;
pub mod bootstrap;
pub mod fault;
mod gateway;
pub mod history;
mod oracle;
mod outage;
pub mod plot;
pub mod random;
pub mod report;
pub mod router;
mod run;
pub mod scenario;
pub mod tally;
mod world;

pub use oracle::oracle;
pub use outage::Outage;
pub use run::{Options, RunError, run};

#[cfg(test)]
mod fixture;
