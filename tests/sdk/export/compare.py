"""Compares exports with the rows of the store, as DuckDB reads them.

    compare.py FOLDER

FOLDER has rows.json, the inferences of the store oldest first, and the exports of them:
inferences.csv, inferences.parquet and attempts.parquet.
"""

import json
import sys
from pathlib import Path

import duckdb

folder = Path(sys.argv[1])
rows = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
assert rows, "there is something to compare"

def types(file):
    described = duckdb.sql(f"DESCRIBE SELECT * FROM '{folder / file}'").fetchall()
    return {name: kind for name, kind, *_ in described}

parquet = types("inferences.parquet")
expected = {
    "id": "VARCHAR",
    "time": "TIMESTAMP WITH TIME ZONE",
    "stream": "BOOLEAN",
    "status": "BIGINT",
    "usage_input": "BIGINT",
    "total_ms": "DOUBLE",
    "cost_usd": "DOUBLE",
    "error_kind": "VARCHAR",
    "request": "VARCHAR",
}
for name, kind in expected.items():
    assert parquet[name] == kind, (name, parquet[name])
assert list(parquet) == list(types("inferences.csv")), "both have the same columns"

for file in ["inferences.parquet", "inferences.csv"]:
    source = f"'{folder / file}'"
    count, identical = duckdb.sql(f"SELECT count(*), count(DISTINCT id) FROM {source}").fetchall()[0]
    assert (count, identical) == (len(rows), len(rows)), (file, count)
    found = duckdb.sql(
        f"""SELECT id, epoch_ms(time::TIMESTAMPTZ), model, outcome, stream, status, usage_input,
            usage_output, total_ms, error_kind, request::JSON->>'$.messages[0].content'
            FROM {source} ORDER BY id"""
    ).fetchall()
    wanted = [
        (
            row["id"],
            row["time_unix_ms"],
            row["model"],
            row["outcome"],
            row["stream"],
            row["status"],
            (row["usage"] or {}).get("input"),
            (row["usage"] or {}).get("output"),
            row["total_ms"],
            (row["error"] or {}).get("kind"),
            row["request"]["messages"][0]["content"],
        )
        for row in sorted(rows, key=lambda row: row["id"])
    ]
    assert found == wanted, (file, found, wanted)

attempts, cost = duckdb.sql(
    f"SELECT count(*), sum(cost_usd) FROM '{folder / 'attempts.parquet'}'"
).fetchall()[0]
assert attempts == sum(row["attempts"] for row in rows), attempts
answered = [row["usage"] for row in rows if row["usage"]]
dollars = sum(usage["input"] + 2 * usage["output"] for usage in answered) / 1e6
assert abs(cost - dollars) < 1e-12, (cost, dollars)
