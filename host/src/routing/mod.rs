//! Routing, as far as it knows snapshots and requests: which endpoints a request may go to
//! (`candidates`), the plan that is executed and the record of why (`plan`, `decision`), and
//! making a decision again from its record (`replay`).
//!
//! What needs neither, and what the simulator shares, is the crate `torana-routing`.

pub mod candidates;
pub mod decision;
pub mod plan;
pub mod replay;
