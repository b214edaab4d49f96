//! A store under test: the bundled component, loaded and called as the gateway does.

use std::path::Path;

use serde_json::Value;
use torana::bundled::PLUGINS;
use torana::gateway::load_config;
use torana::plugin::engine::Engines;
use torana::plugin::sink::{
    Order, Outcome, PageRequest, Row, RowFilter, Sink, SinkReader, SinkWriter, Table,
};
use torana::plugin::{Catalog, Kind};
use torana_tests::gateway::Config;

/// Rows of one batch, as the gateway hands them over.
pub(crate) const BATCH: usize = 500;

/// One page with all of a few rows.
pub(crate) const ALL: PageRequest =
    PageRequest { order: Order::OldestFirst, limit: 1_000, cursor: None };

pub(crate) struct Store {
    pub(crate) name: &'static str,
    pub(crate) writer: SinkWriter,
    pub(crate) reader: SinkReader,
}

impl Store {
    /// The embedded store, in `folder`.
    pub(crate) async fn sqlite(folder: &Path) -> Self {
        let settings = format!("path = {:?}", folder.join("torana.db"));
        let sink = sink(folder, "sink-sqlite", &settings, "").unwrap();
        Self::open("sqlite", &sink).await
    }

    /// The database `torana` of the server at `url`, with more settings if there are any.
    pub(crate) async fn clickhouse(folder: &Path, url: &str, settings: &str) -> Self {
        Self::open("clickhouse", &clickhouse(folder, url, settings)).await
    }

    /// The database at `url`, with settings if there are any.
    pub(crate) async fn postgres(folder: &Path, url: &str, settings: &str) -> Self {
        Self::open("postgres", &postgres(folder, url, settings).unwrap()).await
    }

    async fn open(name: &'static str, sink: &Sink) -> Self {
        let writer = sink.writer().await.unwrap();
        let reader = sink.reader().await.unwrap().unwrap();
        Self { name, writer, reader }
    }

    /// Ids of the inferences that pass `filter`, of which there are few.
    pub(crate) async fn ids(&mut self, filter: &RowFilter) -> Vec<String> {
        let page = self.reader.list_rows(Table::Inference, filter, &ALL).await.unwrap().unwrap();
        let json = |item: &Vec<u8>| serde_json::from_slice::<Value>(item).unwrap();
        page.items.iter().map(|item| json(item)["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Everything, in batches that must all be taken.
    pub(crate) async fn write(&mut self, rows: &[Row]) {
        for batch in rows.chunks(BATCH) {
            let outcome = self.writer.write(batch).await.unwrap();
            assert!(matches!(outcome, Outcome::Ack), "{}: {outcome:?}", self.name);
        }
    }
}

pub(crate) fn clickhouse(folder: &Path, url: &str, settings: &str) -> Sink {
    sink(folder, "sink-clickhouse", &format!("url = {url:?}{settings}"), "").unwrap()
}

pub(crate) fn postgres(
    folder: &Path,
    url: &str,
    settings: &str,
) -> Result<Sink, Box<dyn std::error::Error>> {
    std::fs::write(folder.join("database"), url)?;
    sink(folder, "sink-postgres", settings, "database = \"file:database\"")
}

/// The sink that a configuration with these settings describes, granted what it is bundled with.
pub(crate) fn sink(
    folder: &Path,
    plugin: &str,
    settings: &str,
    keys: &str,
) -> Result<Sink, Box<dyn std::error::Error>> {
    let text = format!(
        "[providers.sim]\n[sinks.store]\nplugin = {plugin:?}\nsettings = {{ {settings} }}\n{keys}\n"
    );
    let path = folder.join(format!("{plugin}.toml"));
    std::fs::write(&path, text)?;
    let config = load_config(&path.to_string_lossy(), PLUGINS).map_err(|it| it.to_string())?;
    let catalog = Catalog::new(Engines::new(&Config::cache_path(), 16)?, PLUGINS);
    let plugin = catalog.load(plugin, &config.plugins[plugin], Kind::Sink)?;
    let sink = &config.sinks["store"];
    Ok(Sink::new(plugin, sink)?)
}
