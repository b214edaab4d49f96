//! Values on their way to PostgreSQL and back.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};

use super::super::{Error, Taken};
use crate::plugin::bindings::host::torana::host::sql::Value;

/// A value as the text that the server reads as whatever type the place has; bytes as they are.
pub(super) struct Parameter<'a>(pub(super) &'a Value);

/// The driver shows parameters at `debug`: this one holds what clients said.
impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(integer) => out.extend_from_slice(integer.to_string().as_bytes()),
            // The shortest digits that are read back as the same number.
            Value::Real(real) => out.extend_from_slice(real.to_string().as_bytes()),
            Value::Text(text) => out.extend_from_slice(text.as_bytes()),
            Value::Blob(blob) => out.extend_from_slice(blob),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(kind, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        if matches!(self.0, Value::Blob(_)) { Format::Binary } else { Format::Text }
    }
}

/// A column as it came.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Adds a column of `row` to what was taken.
pub(super) fn take(row: &Row, column: usize, kind: &Type, taken: &mut Taken) -> Result<(), Error> {
    let misread = |error: &dyn StdError| {
        Error::Statement(format!("the column {column} of type {kind} cannot be read: {error}"))
    };
    let raw: Option<Raw<'_>> = row.try_get(column).map_err(|error| misread(&error))?;
    let Some(Raw(raw)) = raw else { return taken.value(0, || Value::Null) };
    let value = value(kind, raw).map_err(|error| misread(&*error))?;
    let Some(value) = value else {
        let name = row.columns().get(column).map_or("", |column| column.name());
        return Err(Error::Statement(format!(
            "the column {name} is of type {kind}; cast it to text, bigint, double precision or \
             bytea"
        )));
    };
    let bytes = if matches!(value, Value::Text(_) | Value::Blob(_)) { raw.len() } else { 0 };
    taken.value(bytes, || value)
}

/// None: a type that plugins cannot be given.
fn value(kind: &Type, raw: &[u8]) -> Result<Option<Value>, Box<dyn StdError + Sync + Send>> {
    Ok(Some(match *kind {
        Type::BOOL => Value::Integer(bool::from_sql(kind, raw)?.into()),
        Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
        Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
        Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
        Type::FLOAT4 => Value::Real(f32::from_sql(kind, raw)?.into()),
        Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
        Type::BYTEA => Value::Blob(raw.to_vec()),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::JSON => {
            Value::Text(str::from_utf8(raw)?.to_owned())
        }
        // Behind the number of its format's version.
        Type::JSONB => Value::Text(str::from_utf8(raw.get(1..).unwrap_or_default())?.to_owned()),
        _ => return Ok(None),
    }))
}
