//! The table of `docs/translation.md`: every feature, with every client's dialect, at every
//! provider, tried through the real binary.
//!
//! Clients ask for things by words that nobody else says, and the scripted model behind each
//! provider speaks that provider's wire: whether the words arrive on the other side, and where,
//! decides what stands in a cell. `TORANA_BLESS=1` writes the tables anew.

mod cell;
mod client;
mod embedding;
mod feature;
mod losses;
mod need;
mod openai_wire;
mod places;
mod reply;
mod row;
mod saying;
mod table;
mod upstream;

use cell::Cell;
use client::Client;
use feature::Feature;
use losses::KNOWN_LOSSES;
use row::{ROWS, Row, Running};
use serde_json::{Value, json};
use table::Table;
use torana_tests::gateway::{Config, Folder, Gateway};
use torana_tests::repository;

/// Requests are milliseconds, and most of that is waiting.
const WORKERS: usize = 4;

#[test]
fn tables_of_the_document_are_what_is_measured() {
    let running: Vec<Running> = ROWS.iter().map(Row::start).collect();
    let gateway = start(&running);
    let mut rows: Vec<_> = std::thread::scope(|scope| {
        let gateway = &gateway;
        let chunk = running.len().div_ceil(WORKERS);
        let measure = |running: &[Running]| -> Vec<Vec<Vec<(Feature, Cell)>>> {
            running.iter().map(|running| measure(gateway, running)).collect()
        };
        let workers: Vec<_> =
            running.chunks(chunk).map(|part| scope.spawn(move || measure(part))).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut tables: Vec<Table> =
        Client::ALL.into_iter().map(|client| Table { client, rows: Vec::new() }).collect();
    for (row, measured) in ROWS.iter().zip(&mut rows) {
        for (table, cells) in tables.iter_mut().zip(measured.drain(..)) {
            table.rows.push((row.name, cells));
        }
    }
    let surprises = surprises(&tables);
    let rendered = table::render(&tables, KNOWN_LOSSES);
    let document = std::fs::read_to_string(table::document_path()).unwrap();
    let (written, with) = table::measured(&document);
    if std::env::var_os("TORANA_BLESS").is_some() {
        std::fs::write(table::document_path(), with(&rendered)).unwrap();
    }
    assert!(surprises.is_empty(), "{} cells:\n{}", surprises.len(), surprises.join("\n"));
    if std::env::var_os("TORANA_BLESS").is_none() {
        let pairs = written.lines().zip(rendered.lines());
        let differences: Vec<_> = pairs.filter(|(old, new)| old != new).collect();
        assert!(written == rendered, "run with TORANA_BLESS=1 if this is right: {differences:#?}");
    }
}

/// The cells of a provider, client by client.
fn measure(gateway: &Gateway, running: &Running) -> Vec<Vec<(Feature, Cell)>> {
    let of = |client: Client| {
        let cells = Feature::ALL.into_iter().filter_map(|(feature, _)| {
            Some((feature, cell::cell(gateway, running, client, feature)?))
        });
        cells.collect()
    };
    Client::ALL.into_iter().map(of).collect()
}

/// Losses that nobody knows of, and known ones that are none.
fn surprises(tables: &[Table]) -> Vec<String> {
    let mut surprises = Vec::new();
    for table in tables {
        for (name, cells) in &table.rows {
            for (feature, cell) in cells {
                let is_known = KNOWN_LOSSES.iter().any(|loss| {
                    loss.clients.contains(&table.client)
                        && loss.feature == *feature
                        && loss.providers.contains(name)
                });
                let place = format!("{} → {name}, {}", table.client.title(), feature.title());
                match cell {
                    Cell::Lost(why) if !is_known => surprises.push(format!("{place}: {why}")),
                    Cell::Lost(_) => {}
                    other if is_known => {
                        surprises.push(format!("{place}: known as lost, but {}", other.word()));
                    }
                    _ => {}
                }
            }
        }
    }
    surprises
}

#[test]
fn one_more_compatible_provider_is_the_block_that_the_document_shows() {
    let document = std::fs::read_to_string(table::document_path()).unwrap();
    let (_, rest) = document.split_once("```toml\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let base_url = block.lines().find(|line| line.starts_with("base_url")).unwrap();
    let row: &'static Row = &ROWS[0];
    let running = row.start();
    let moved =
        block.replace(base_url, &format!("base_url = {:?}", running.upstream.provider.url()));
    let folder = Folder::new(&Config::new(moved));
    let credential = block.split("\"env:").nth(1).and_then(|it| it.split('"').next()).unwrap();
    let gateway = Gateway::start_in(folder, &[(credential, "scripted")]);
    let name = block.split(['[', ']']).nth(1).and_then(|it| it.strip_prefix("providers.")).unwrap();
    for client in [Client::Chat, Client::Responses, Client::Messages, Client::Completions] {
        let body = client.question(Feature::Text, &format!("{name}/any-model")).unwrap();
        let reply = gateway.send(&client.request(&body)).expect(200);
        assert!(reply.text().contains(saying::ANSWER), "{reply}");
        let asked: Value = running.upstream.last_asked().unwrap().json();
        assert_eq!(asked["model"], json!("any-model"));
    }
}

/// One gateway with all providers, as their presets are shipped but for the address.
fn start(running: &[Running]) -> Gateway {
    let catalog = catalog();
    let tables: String = running.iter().map(|running| running.table(&catalog)).collect();
    let folder = Folder::new(&Config::new(tables));
    let token = running[0].upstream.provider.url() + "/token";
    folder.put("google.json", google(&token).as_bytes());
    let mut environment = credentials(&catalog);
    // What "ambient" finds.
    let key_file = folder.path("google.json").display().to_string();
    environment.push(("GOOGLE_APPLICATION_CREDENTIALS".to_owned(), key_file));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        environment.push((name.to_owned(), "scripted".to_owned()));
    }
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Gateway::start_in(folder, &environment)
}

fn catalog() -> String {
    std::fs::read_to_string(repository().join("config/catalog/providers.toml")).unwrap()
}

/// Every variable that a preset names, with a key in it.
fn credentials(catalog: &str) -> Vec<(String, String)> {
    let variables = catalog.split("\"env:").skip(1).filter_map(|rest| rest.split('"').next());
    variables.map(|name| (name.to_owned(), "scripted".to_owned())).collect()
}

/// A service account whose tokens come from this machine.
fn google(token_uri: &str) -> String {
    let key = "host/src/upstream/credential/google/test_key.pem";
    let key = std::fs::read_to_string(repository().join(key)).unwrap();
    json!({ "type": "service_account", "client_email": "scripted@example.test",
            "private_key": key, "token_uri": token_uri })
    .to_string()
}
