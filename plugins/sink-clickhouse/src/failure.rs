//! Why the server did not do what it was asked, and what that means for the rows.
//!
//! Sorted by ClickHouse's error codes (`src/Common/ErrorCodes.cpp` of its source), because
//! the same code comes with different HTTP statuses in different versions. What is not known
//! to be about a row is tried again: the journal keeps what waits, a rejected row is gone
//! from the store for good.

use std::fmt;

use torana_plugin_sdk::host::http::{Error, Response};

/// Longest message that is passed on, in characters.
const MESSAGE: usize = 500;

/// No request or no answer, or an answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Failure {
    /// The host does not let the request out.
    Refused(String),
    /// No answer, or half of one.
    Unreachable(String),
    /// The server's own error, or that of something before it.
    Answer {
        status: u16,
        /// ClickHouse's; a proxy has none.
        code: Option<u32>,
        message: String,
    },
    /// An answer that is not what was asked for.
    Foreign,
}

/// Who can mend it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Time.
    Time,
    /// The operator, who is told how.
    Operator(&'static str),
    /// Nobody: the server can never take one of the rows.
    Nothing,
}

impl Failure {
    /// The failure that a response is.
    pub(crate) fn of(response: &Response) -> Self {
        let message = String::from_utf8_lossy(&response.body);
        Self::Answer {
            status: response.status,
            code: header_code(response).or_else(|| written_code(&message)),
            message: message.trim().chars().take(MESSAGE).collect(),
        }
    }

    /// Whether a response is an error, whatever its status.
    pub(crate) fn is_told_by(response: &Response) -> bool {
        header_code(response).is_some()
    }

    pub(crate) fn remedy(&self) -> Remedy {
        match self {
            Self::Refused(_) => Remedy::Operator(
                "grant it: [plugins.sink-clickhouse.grants] http = [\"settings.url\"]",
            ),
            Self::Unreachable(_) => Remedy::Time,
            Self::Foreign => {
                Remedy::Operator("check that settings.url is ClickHouse's HTTP interface")
            }
            Self::Answer { status, code, .. } => match code {
                Some(code) => of_code(*code),
                None => of_status(*status),
            },
        }
    }

    /// What may be logged: an error about a row quotes the row, and rows hold prompts.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Answer { code: Some(code), .. } if self.remedy() == Remedy::Nothing => {
                format!("the server answered with its error {code}")
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(formatter, "the host refused the request: {reason}"),
            Self::Unreachable(reason) => write!(formatter, "no answer: {reason}"),
            Self::Answer { message, .. } if !message.is_empty() => formatter.write_str(message),
            Self::Answer { status, .. } => write!(formatter, "it answered with status {status}"),
            Self::Foreign => formatter.write_str("the answer is not one of ClickHouse's"),
        }
    }
}

impl std::error::Error for Failure {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::NotGranted(origin) => Self::Refused(format!("{origin} is not granted")),
            Error::BlockedAddress(address) => {
                Self::Refused(format!("{address} is private and not granted"))
            }
            Error::InvalidRequest(what) => Self::Refused(what),
            Error::Timeout => Self::Unreachable("it took too long".to_owned()),
            Error::TooLarge => Self::Unreachable("the answer is too large".to_owned()),
            Error::Connection(reason) => Self::Unreachable(reason),
        }
    }
}

/// `X-ClickHouse-Exception-Code: 60`.
fn header_code(response: &Response) -> Option<u32> {
    let is_code = |name: &str| name.eq_ignore_ascii_case("x-clickhouse-exception-code");
    let header = response.headers.iter().find(|header| is_code(&header.name))?;
    header.value.trim().parse().ok()
}

/// `Code: 60. DB::Exception: …`; proxies drop headers that they do not know.
fn written_code(message: &str) -> Option<u32> {
    let (code, _) = message.trim_start().strip_prefix("Code: ")?.split_once('.')?;
    code.parse().ok()
}

fn of_code(code: u32) -> Remedy {
    match code {
        // CANNOT_PARSE_*, INCORRECT_DATA, CANNOT_READ_ALL_DATA, UNEXPECTED_DATA_AFTER_…
        6 | 25..=28 | 33 | 34 | 38 | 41 | 72 | 117 | 376 | 467 | 561 => Remedy::Nothing,
        // TYPE_MISMATCH, ARGUMENT_OUT_OF_BOUND, CANNOT_CONVERT_TYPE, VALUE_IS_OUT_OF_RANGE_…,
        // DECIMAL_OVERFLOW, CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        53 | 69 | 70 | 321 | 407 | 349 => Remedy::Nothing,
        // TOO_LARGE_ARRAY_SIZE, TOO_LARGE_STRING_SIZE, VIOLATED_CONSTRAINT, and throwIf in a
        // view of the operator's.
        128 | 131 | 469 | 395 => Remedy::Nothing,
        // UNKNOWN_USER, WRONG_PASSWORD, REQUIRED_PASSWORD, AUTHENTICATION_FAILED
        192..=194 | 516 => Remedy::Operator(
            "check settings.user, and the password: headers = { \"X-ClickHouse-Key\" = \"env:NAME\" }",
        ),
        // READONLY, DATABASE_ACCESS_DENIED, ACCESS_DENIED, SETTING_CONSTRAINT_VIOLATION
        164 | 291 | 452 | 497 => {
            Remedy::Operator("grant the user SELECT, INSERT, CREATE and ALTER on the database")
        }
        // UNKNOWN_TABLE, UNKNOWN_DATABASE, NO_SUCH_COLUMN_IN_TABLE, UNKNOWN_IDENTIFIER
        16 | 47 | 60 | 81 => Remedy::Operator(
            "the tables were changed or dropped: restore them, or name another settings.database",
        ),
        // UNKNOWN_SETTING, UNKNOWN_FUNCTION, SYNTAX_ERROR
        115 | 46 | 62 => Remedy::Operator("the server is too old for this plugin: update it"),
        _ => Remedy::Time,
    }
}

fn of_status(status: u16) -> Remedy {
    match status {
        401 | 403 => Remedy::Operator("something before the server refuses the credentials"),
        404 => Remedy::Operator("check that settings.url is ClickHouse's HTTP interface"),
        // Something before the server does not let so much through.
        413 => Remedy::Nothing,
        _ => Remedy::Time,
    }
}
