//! Exports as Parquet: typed columns, each optional, in row groups of bounded size.
//!
//! Times are TIMESTAMP(MILLIS, UTC), text is UTF-8, lists and objects are JSON in text. Rows
//! gather in memory until a group is full, which is when the file grows.

use std::mem::take;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::Value;

use super::ExportError;
use super::columns::{Cell, Column, Kind};
use super::output::Output;

/// A row group: large enough that readers skip and compress well, small enough that one with
/// its content fits into memory many times over.
const GROUP_ROWS: usize = 50_000;
const GROUP_BYTES: usize = 32 << 20;

/// What a value takes beside its text, about.
const CELL_BYTES: usize = 24;

/// Definition levels of an optional column.
const ABSENT: i16 = 0;
const PRESENT: i16 = 1;

pub(super) struct Parquet {
    writer: SerializedFileWriter<Output>,
    gathered: Vec<Gathered>,
    rows: usize,
    bytes: usize,
}

impl Parquet {
    pub(super) fn new(output: Output, columns: &[Column]) -> Result<Self, ExportError> {
        let fields: Vec<Arc<Type>> =
            columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("torana").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(format!("torana {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties))?;
        let gathered = columns.iter().map(|column| Gathered::of(column.kind)).collect();
        Ok(Self { writer, gathered, rows: 0, bytes: 0 })
    }

    pub(super) fn row(&mut self, columns: &[Column], row: &Value) -> Result<(), ExportError> {
        for (column, gathered) in columns.iter().zip(&mut self.gathered) {
            let cell = column.cell(row);
            self.bytes += CELL_BYTES;
            if let Cell::Text(text) = &cell {
                self.bytes += text.len();
            }
            gathered.push(cell);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.group() } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<Output, ExportError> {
        self.group()?;
        Ok(self.writer.into_inner()?)
    }

    fn group(&mut self) -> Result<(), ExportError> {
        if take(&mut self.rows) == 0 {
            return Ok(());
        }
        self.bytes = 0;
        let mut group = self.writer.next_row_group()?;
        for gathered in &mut self.gathered {
            gathered.write(&mut group)?;
        }
        group.close()?;
        Ok(())
    }
}

fn field(column: &Column) -> Result<Type, ParquetError> {
    let (physical, logical) = match column.kind {
        Kind::Timestamp => {
            let is_utc = true;
            (Physical::INT64, Some(LogicalType::timestamp(is_utc, TimeUnit::MILLIS)))
        }
        Kind::Integer => (Physical::INT64, None),
        Kind::Double | Kind::Number => (Physical::DOUBLE, None),
        Kind::Boolean => (Physical::BOOLEAN, None),
        Kind::Text | Kind::Json => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
    };
    Type::primitive_type_builder(&column.name, physical)
        .with_logical_type(logical)
        .with_repetition(Repetition::OPTIONAL)
        .build()
}

/// Values of one column: those that are there, and which rows have one.
enum Gathered {
    Integers(Levels<i64>),
    Doubles(Levels<f64>),
    Booleans(Levels<bool>),
    Texts(Levels<ByteArray>),
}

struct Levels<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Default for Levels<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Levels<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(if value.is_some() { PRESENT } else { ABSENT });
        self.values.extend(value);
    }

    fn write<D: DataType<T = T>>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, Output>,
    ) -> Result<(), ParquetError> {
        let (values, levels) = (take(&mut self.values), take(&mut self.levels));
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("the schema has fewer columns".into()));
        };
        column.typed::<D>().write_batch(&values, Some(&levels), None)?;
        column.close()
    }
}

impl Gathered {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Timestamp | Kind::Integer => Self::Integers(Levels::default()),
            Kind::Double | Kind::Number => Self::Doubles(Levels::default()),
            Kind::Boolean => Self::Booleans(Levels::default()),
            Kind::Text | Kind::Json => Self::Texts(Levels::default()),
        }
    }

    fn push(&mut self, cell: Cell) {
        match self {
            Self::Integers(values) => values.push(match cell {
                Cell::Timestamp(number) | Cell::Integer(number) => Some(number),
                _ => None,
            }),
            Self::Doubles(values) => values.push(match cell {
                Cell::Double(number) => Some(number),
                _ => None,
            }),
            Self::Booleans(values) => values.push(match cell {
                Cell::Boolean(value) => Some(value),
                _ => None,
            }),
            Self::Texts(values) => values.push(match cell {
                Cell::Text(text) => Some(ByteArray::from(text.into_bytes())),
                _ => None,
            }),
        }
    }

    fn write(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, Output>,
    ) -> Result<(), ParquetError> {
        match self {
            Self::Integers(values) => values.write::<Int64Type>(group),
            Self::Doubles(values) => values.write::<DoubleType>(group),
            Self::Booleans(values) => values.write::<BoolType>(group),
            Self::Texts(values) => values.write::<ByteArrayType>(group),
        }
    }
}
