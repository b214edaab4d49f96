//! Routing without I/O: what a decision rests on, and how a plan is executed.
//!
//! The gateway and the simulator run this very code; only their clocks and their endpoints
//! differ. So nothing here reads a clock, sleeps or opens anything: the time comes as an
//! argument, and what is to be done next is said, not done.
//!
//! | file | owns |
//! |---|---|
//! | `policy` | what a policy is told and what it says: the Rust face of `wit/router` |
//! | `price` | what tokens cost |
//! | `statistics` | live figures of one endpoint (`window`: percentiles) |
//! | `breaker`, `cap` | whether an endpoint is up, and how much it takes |
//! | `affinity` | whose prompt cache likely holds a conversation |
//! | `candidate` | the row a policy sees of an endpoint |
//! | `preferences`, `filter` | what a client asks of endpoints; who is left out, and why |
//! | `plan` | from what a policy says to what is executed |
//! | `execution`, `budget` | the next thing to do with a plan: attempt, fallback, hedge |

pub mod affinity;
pub mod breaker;
pub mod budget;
pub mod candidate;
pub mod cap;
pub mod execution;
pub mod filter;
pub mod plan;
pub mod policy;
pub mod preferences;
pub mod price;
pub mod statistics;
