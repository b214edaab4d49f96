#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use clap::Parser;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use proptest::prelude::*;
use serde_json::json;

use super::columns::{Cell, Kind};
use super::*;

const TABLES: [TableName; 5] = [
    TableName::Inferences,
    TableName::Attempts,
    TableName::Feedback,
    TableName::Snapshots,
    TableName::PluginEvents,
];

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(line: &str) -> Arguments {
    Line::parse_from(format!("export {line}").split(' ')).arguments
}

/// A file of these rows, as `torana export` would write it.
fn write(line: &str, path: &Path, rows: &[Value]) -> Result<Vec<String>, ExportError> {
    let arguments = arguments(&format!("{line} --output {}", path.display()));
    let columns = columns::of(arguments.table, &arguments.columns, arguments.content)?;
    let output = Output::open(&arguments.output, arguments.force)?;
    let mut writer = Writer::new(arguments.format()?, &arguments, columns, output)?;
    for row in rows {
        writer.row(row.to_string().as_bytes(), row.clone())?;
    }
    let empty = writer.empty_columns();
    writer.finish()?.keep()?;
    Ok(empty)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn inference() -> Value {
    json!({
        "id": "0193a9f2-0000-7000-8000-00000000002a", "time_unix_ms": 1_795_435_200_123_u64,
        "key": null, "model": "a,\"b\"\r\nc", "stream": true, "status": 200,
        "usage": { "input": 7, "output": 3 }, "cost_usd": 0.1, "ttft_ms": null,
        "tags": { "customer": "42", "a.b": "c" }, "error": null,
        "request": { "temperature": 0.5 }, "response": { "text": "=1+1" },
    })
}

#[test]
fn the_documentation_lists_every_column_with_its_type() {
    let document = include_str!("../../../../docs/data-model.md");
    for table in TABLES {
        let name = table.to_possible_value().unwrap().get_name().to_owned();
        let heading = format!("`--table {name}`:\n\n| column | type |\n|---|---|\n");
        let rows = document.split(&heading).nth(1).unwrap_or_default();
        let documented: Vec<&str> = rows.lines().take_while(|line| !line.is_empty()).collect();
        let (usual, large) = columns::listed(table);
        let row = |path: &str, kind: Kind, mark: &str| {
            let word = match kind {
                Kind::Timestamp => "timestamp",
                Kind::Integer => "integer",
                Kind::Double | Kind::Number => "double",
                Kind::Boolean => "boolean",
                Kind::Text => "text",
                Kind::Json => "json",
            };
            format!("| `{}` | {word}{mark} |", path.replace('.', "_"))
        };
        let usual = usual.iter().map(|(path, kind)| row(path, *kind, ""));
        let large = large.iter().map(|(path, kind)| row(path, *kind, ", *content*"));
        assert_eq!(documented, usual.chain(large).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn columns_are_asked_for_by_name_or_path_and_each_once() {
    let of = |asked: &[&str]| {
        let asked: Vec<String> = asked.iter().map(|it| (*it).to_owned()).collect();
        columns::of(TableName::Inferences, &asked, false)
    };
    let columns = of(&["usage.input", "error_kind", "request", "tags.a.b"]).unwrap();
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["usage_input", "error_kind", "request", "tags_a_b"]);
    let row = inference();
    let cells: Vec<Cell> = columns.iter().map(|column| column.cell(&row)).collect();
    assert_eq!(cells[0], Cell::Integer(7));
    assert_eq!(cells[1], Cell::Null);
    assert_eq!(cells[2], Cell::Text("{\"temperature\":0.5}".into()));
    assert_eq!(cells[3], Cell::Text("c".into()), "a key may have a point in it");
    assert!(matches!(of(&["model", "model"]), Err(ColumnError::Twice(_))));
    assert!(matches!(of(&["usage.input", "usage_input"]), Err(ColumnError::Twice(_))));
    assert!(matches!(of(&["model", ""]), Err(ColumnError::Empty)));
}

#[test]
fn content_comes_only_when_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    for (format, content) in [("csv", "=1+1"), ("jsonl", "=1+1")] {
        let path = folder.path().join(format!("without.{format}"));
        write("--table inferences", &path, &[inference()]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(content), "{text}");
        let path = folder.path().join(format!("with.{format}"));
        write("--table inferences --content", &path, &[inference()]).unwrap();
        assert!(fs::read_to_string(&path).unwrap().contains(content));
    }
    let with = fs::read_to_string(folder.path().join("with.jsonl")).unwrap();
    assert_eq!(with, format!("{}\n", inference()));
}

#[test]
fn csv_reads_back_as_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    let line = "--table inferences --columns time,key,model,stream,usage.input,cost_usd,tags";
    write(line, &path, &[inference(), json!({})]).unwrap();
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let headers: Vec<&str> = reader.headers().unwrap().iter().collect();
    assert_eq!(headers, ["time", "key", "model", "stream", "usage_input", "cost_usd", "tags"]);
    let time = "2026-11-23T12:00:00.123Z";
    let tags = "{\"customer\":\"42\",\"a.b\":\"c\"}";
    assert_eq!(rows[0], vec![time, "", "a,\"b\"\r\nc", "true", "7", "0.1", tags]);
    assert_eq!(rows[1], vec![""; 7]);
}

#[test]
fn lines_have_the_columns_that_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let line = "--table inferences --columns time,tags.customer,usage,nothing";
    let empty = write(line, &path, &[inference()]).unwrap();
    let row: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let expected = json!({
        "time": "2026-11-23T12:00:00.123Z", "tags_customer": "42",
        "usage": { "input": 7, "output": 3 }, "nothing": null,
    });
    assert_eq!(row, expected);
    assert_eq!(empty, ["nothing"], "a typing error is told");
}

#[test]
fn a_file_that_is_there_is_replaced_by_force_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    fs::write(&path, "precious").unwrap();
    let refused = write("--table feedback", &path, &[]);
    assert!(matches!(refused, Err(ExportError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    write("--table feedback --force", &path, &[]).unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with("id,time,target,"));

    // One that comes while the export runs is not lost either.
    let path = folder.path().join("late.csv");
    let mut output = Output::open(&path, false).unwrap();
    output.write_all(b"rows").unwrap();
    fs::write(&path, "precious").unwrap();
    assert!(matches!(output.keep(), Err(ExportError::Exists(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn what_was_not_finished_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let mut output = Output::open(&path, false).unwrap();
    output.write_all(&[1; 100_000]).unwrap();
    assert_eq!(names(folder.path()).len(), 1, "rows go to disk beside the file");
    assert!(!path.exists());
    drop(output);
    assert_eq!(names(folder.path()), Vec::<String>::new());
    let nowhere = Output::open(&folder.path().join("none/rows.csv"), false);
    assert!(matches!(nowhere, Err(ExportError::Write { .. })));
}

#[test]
fn the_format_is_named_or_follows_from_the_file() {
    let format = |line: &str| arguments(&format!("--table feedback {line}")).format();
    assert_eq!(format("-o x.parquet").unwrap(), Format::Parquet);
    assert_eq!(format("-o x.CSV").unwrap(), Format::Csv);
    assert_eq!(format("-o x.csv --format jsonl").unwrap(), Format::Jsonl);
    assert!(matches!(format("-o -"), Err(ExportError::Format(_))));
    assert!(matches!(format("-o x.xlsx"), Err(ExportError::Format(_))));
}

#[test]
fn filters_are_those_of_the_routes_and_end_now() {
    let line = "--table attempts -o x.csv --endpoint sim/demo --tag a:b --metric score>=-1 \
                --since 2026-11-23";
    let filter = arguments(line).filters.read(Table::ModelInference).unwrap();
    assert_eq!(filter.endpoint.as_deref(), Some("sim/demo"));
    assert_eq!((filter.tags.len(), filter.metrics.len()), (1, 1));
    assert_eq!(filter.since_unix_ms, Some(1_795_392_000_000));
    assert!(filter.until_unix_ms.is_some());
    let bad = arguments("--table snapshots -o x.csv --model m").filters.read(Table::Snapshot);
    let told = ExportError::from(bad.unwrap_err()).to_string();
    assert_eq!(told, "--model: rows of this kind have none; expected one of since, until");
}

/// Any row, with values of wrong types among them.
fn any_row() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "time_unix_ms",
        "model",
        "stream",
        "status",
        "usage",
        "cost_usd",
        "tags",
    ]);
    prop::collection::btree_map(key, leaf, 0..7)
        .prop_map(|row: BTreeMap<&str, Value>| serde_json::to_value(row).unwrap())
}

fn read_back(path: &Path) -> Vec<Vec<Cell>> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let cell = |field: &Field| match field {
        Field::Null => Cell::Null,
        Field::Bool(value) => Cell::Boolean(*value),
        Field::Long(number) => Cell::Integer(*number),
        Field::TimestampMillis(number) => Cell::Timestamp(*number),
        Field::Double(number) => Cell::Double(*number),
        Field::Str(text) => Cell::Text(text.clone()),
        other => unreachable!("{other:?}"),
    };
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    rows.map(|row| row.get_column_iter().map(|(_, field)| cell(field)).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parquet_reads_back_as_what_was_written(rows in prop::collection::vec(any_row(), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.parquet");
        let asked = "time,model,stream,status,usage,cost_usd,tags";
        write(&format!("--table inferences --columns {asked}"), &path, &rows).unwrap();
        let asked: Vec<String> = asked.split(',').map(str::to_owned).collect();
        let columns = columns::of(TableName::Inferences, &asked, false).unwrap();
        let expected: Vec<Vec<Cell>> = rows
            .iter()
            .map(|row| columns.iter().map(|column| column.cell(row)).collect())
            .collect();
        prop_assert_eq!(read_back(&path), expected);
    }
}

#[test]
fn large_rows_make_many_groups_and_are_all_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let text = "x".repeat(9 << 20);
    let rows = vec![json!({ "raw_request": text }); 9];
    write("--table attempts --columns raw_request", &path, &rows).unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().num_rows(), 9);
    assert_eq!(metadata.num_row_groups(), 3, "four of nine mebibytes are a group");
}
