//! What a routing decision rests on, and what it gives: statistics and breaker of each
//! endpoint, the rows a policy sees, the plan that is executed.

pub mod breaker;
pub mod candidate;
pub mod plan;
pub mod statistics;
