//! Whose records a caller may read.
//!
//! Where keys are configured, a key reads the records of its own calls; `keys.NAME.reads =
//! "all"` makes it read everybody's. Without keys there is nobody to tell apart. What a key
//! may not read does not exist for it: another's id is unknown. Only a question that names
//! another key is refused, with the way out.

use crate::config::{ClientKey, Reads};
use crate::error::Cause;
use crate::plugin::sink::RowFilter;

/// The records that a caller may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    All,
    /// Of calls with the key of this name.
    Own(&'a str),
}

impl<'a> Scope<'a> {
    pub fn of(caller: Option<&'a ClientKey>) -> Self {
        match caller {
            Some(key) if key.reads == Reads::Own => Self::Own(&key.name),
            _ => Self::All,
        }
    }

    /// Keeps a question within the scope.
    ///
    /// # Errors
    /// It asks for another key's records.
    pub fn narrow(self, filter: &mut RowFilter) -> Result<(), Cause> {
        let Self::Own(own) = self else { return Ok(()) };
        match filter.key.replace(own.to_owned()) {
            Some(asked) if asked != own => Err(foreign(own)),
            _ => Ok(()),
        }
    }

    /// Whether a row of this key may be seen.
    pub fn sees(self, key: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Own(own) => key == Some(own),
        }
    }

    /// For answers that cannot be told apart by key.
    ///
    /// # Errors
    /// The caller may not read everything.
    pub fn all(self) -> Result<(), Cause> {
        match self {
            Self::All => Ok(()),
            Self::Own(own) => Err(foreign(own)),
        }
    }
}

fn foreign(own: &str) -> Cause {
    Cause::ForeignRecords { own: own.to_owned() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::plugin::sink::EVERYTHING;

    fn key(reads: Reads) -> ClientKey {
        ClientKey {
            name: "team".into(),
            sha256: [0; 32],
            unsupported_params: None,
            content: None,
            reads,
        }
    }

    #[test]
    fn a_key_reads_its_own_records_unless_it_reads_all() {
        let own = key(Reads::Own);
        let scope = Scope::of(Some(&own));
        let mut filter = EVERYTHING;
        scope.narrow(&mut filter).unwrap();
        assert_eq!(filter.key.as_deref(), Some("team"));
        scope.narrow(&mut filter).unwrap();
        filter.key = Some("other".into());
        assert!(matches!(scope.narrow(&mut filter), Err(Cause::ForeignRecords { .. })));
        assert!(scope.sees(Some("team")) && !scope.sees(Some("other")) && !scope.sees(None));
        assert!(scope.all().is_err());

        for everything in [Scope::of(None), Scope::of(Some(&key(Reads::All)))] {
            let mut filter = RowFilter { key: Some("other".into()), ..EVERYTHING };
            everything.narrow(&mut filter).unwrap();
            assert_eq!(filter.key.as_deref(), Some("other"));
            assert!(everything.sees(None) && everything.all().is_ok());
        }
    }
}
