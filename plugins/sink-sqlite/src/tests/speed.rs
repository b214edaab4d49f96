//! Figures of the store on this machine, in CPU time, which a busy machine does not change
//! much. Run by hand; asserts nothing about time.

use super::*;

/// CPU time of this thread, in milliseconds. Linux.
fn cpu_ms() -> f64 {
    let figures = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    figures.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e6
}

/// Distinct rows with about 2 KiB of text, mostly of a vocabulary and somewhat new.
fn batch(number: usize) -> Vec<Row> {
    let mut seed = number as u64 + 1;
    let mut next = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    let text = |next: &mut dyn FnMut() -> u64| {
        (0..170)
            .map(|_| format!("word{}", (next() % 5_000) * (next() % 20)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let call = |place: usize| {
        let (id, time) = (
            format!("019cbb1a-{:04x}-7000-8000-{place:012x}", number),
            (number * 500 + place) as u64,
        );
        let usage = json!({ "input": next() % 4_000, "output": next() % 900, "cached_input": 0,
                            "cache_write": 0, "reasoning": 0, "audio": 0 });
        let json = json!({
            "id": id, "time_unix_ms": time, "dialect": "openai-chat", "key": format!("k{}", next() % 9),
            "function": format!("f{}", next() % 9), "variant": "v", "model": format!("m{}", next() % 9),
            "endpoint": format!("p/m{}", next() % 9), "outcome": "ok", "episode_id": id,
            "response_id": format!("chatcmpl-{:x}", next()), "stream": true, "status": 200,
            "usage": usage, "cost_usd": 0.01, "ttft_ms": (next() % 10_000) as f64 / 7.0,
            "total_ms": (next() % 100_000) as f64 / 7.0, "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "attempts": 1, "tags": { "team": format!("t{}", next() % 9) },
            "request": { "messages": [{ "role": "user", "content": text(&mut next) }] },
            "response": { "blocks": [{ "type": "text", "text": text(&mut next) }] }
        });
        inference(&id, time, json)
    };
    (0..500).map(call).collect()
}

#[test]
#[ignore = "prints figures: cargo test --release -p sink-sqlite -- --ignored --nocapture figures"]
fn figures() {
    let batches: usize = std::env::var("BATCHES").map_or(100, |it| it.parse().unwrap());
    let path = std::env::temp_dir().join(format!("sink-sqlite-speed-{}.db", std::process::id()));
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    let mut store = Store::over(Memory::over(connection), &settings()).unwrap();
    let mut spent = 0.0;
    for number in 0..batches {
        let batch = batch(number);
        let started = cpu_ms();
        assert_eq!(write(&mut store, &batch), Outcome::Ack);
        spent += cpu_ms() - started;
    }
    let rows = batches * 500;
    println!("write: {rows} rows, {:.0} rows a second of CPU", rows as f64 / spent * 1_000.0);
    println!("file: {} bytes a row", std::fs::metadata(&path).unwrap().len() / rows as u64);
    figures_of_reading(&mut store);
    drop(store);
    std::fs::remove_file(&path).unwrap();
}

fn figures_of_reading(store: &mut Store<Memory>) {
    let timed = |name: &str, work: &mut dyn FnMut()| {
        let started = cpu_ms();
        work();
        println!("{name}: {:.1} ms", cpu_ms() - started);
    };
    let page = PageRequest { order: Order::NewestFirst, limit: 20, cursor: None };
    let text = |text: &str| RowFilter { text: Some(text.into()), ..no_filter() };
    let tags = vec![("team".to_owned(), "t1".to_owned())];
    for (name, filter) in [
        ("page", no_filter()),
        ("page by tag", RowFilter { tags, ..no_filter() }),
        ("page by model", RowFilter { model: Some("m1".into()), ..no_filter() }),
        ("page by common word", text("user")),
        ("page by rare words", text("word4711 word19 word28")),
    ] {
        timed(name, &mut || {
            drop(list::rows(&mut store.database, Table::Inference, &filter, &page).unwrap());
        });
    }
    for by in [vec![], vec![torana_plugin_sdk::sink::Dimension::Model]] {
        let request = UsageRequest {
            of: Table::Inference,
            filter: no_filter(),
            by: by.clone(),
            interval_ms: None,
            limit: 10_000,
        };
        timed(&format!("usage by {by:?}"), &mut || {
            assert!(!usage::report(&mut store.database, &request).unwrap().rows.is_empty());
        });
    }
}
