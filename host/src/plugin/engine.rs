//! The two wasmtime engines, and the thread that makes time pass in them.
//!
//! `hot` runs what a request waits for (provider, router, experiment): plain synchronous
//! calls, about 60 ns each, CPU bounded by epoch. `io` runs sinks: asynchronous calls that
//! yield every tick, so a busy sink shares its thread, and are bounded by wall clock.
//!
//! No component-model-async, threads, garbage collection or 64-bit memories: whatever no
//! plugin needs is attack surface.

use std::path::Path;
use std::time::Duration;

use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use super::Kind;

/// One epoch. The CPU budget is counted in these, so it is also the precision of a kill.
const TICK: Duration = Duration::from_millis(1);

/// Address space for a guest's memory. 4 GiB lets the compiler leave out bounds checks,
/// which makes JSON-like guest work 1.4 times faster; it reserves addresses, not memory.
const MEMORY_RESERVATION: u64 = 4 << 30;

/// Upper bound for any `limits.memory_mib`: the pool needs one figure for all plugins.
pub const MAX_MEMORY_BYTES: usize = 1 << 30;

/// Upper bound for table elements of one instance. Rust guests have some hundreds,
/// StarlingMonkey 7,688: 20,000 leaves room and keeps a slot at 160 KB.
pub(super) const MAX_TABLE_ELEMENTS: usize = 20_000;

/// Core instances, memories and tables inside one component. JavaScript engines bring
/// three memories; adapters add small core modules.
const MAX_CORE_INSTANCES: u32 = 32;
const MAX_MEMORIES: u32 = 4;
const MAX_TABLES: u32 = 16;

/// Both engines. Cheap to clone.
#[derive(Clone)]
pub struct Engines {
    hot: Engine,
    io: Engine,
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the cache directory {path} cannot be used")]
    Cache { path: std::path::PathBuf, source: wasmtime::Error },
    #[error("this machine cannot run plugins")]
    Configure(#[source] wasmtime::Error),
    #[error("the epoch thread could not be started")]
    Ticker(#[source] std::io::Error),
}

impl Engines {
    /// `cache` holds compiled code, keyed by the component's bytes, the compiler's version
    /// and its settings. It is native code: whoever can write there can run anything, so it
    /// is made accessible to this user alone.
    pub fn new(cache: &Path, instances: u32) -> Result<Self, EngineError> {
        let cache = open_cache(cache)?;
        let engines = Self {
            hot: engine(instances, &cache)?,
            io: engine(IO_INSTANCES.min(instances), &cache)?,
        };
        engines.start_ticker()?;
        Ok(engines)
    }

    /// The engine that plugins of this kind run on.
    pub fn of(&self, kind: Kind) -> &Engine {
        match kind {
            Kind::Provider | Kind::Router | Kind::Experiment => &self.hot,
            Kind::Sink => &self.io,
        }
    }

    /// Ends by itself once both engines are gone.
    fn start_ticker(&self) -> Result<(), EngineError> {
        let (hot, io) = (self.hot.weak(), self.io.weak());
        std::thread::Builder::new()
            .name("torana-epoch".into())
            .spawn(move || {
                while let (Some(hot), Some(io)) = (hot.upgrade(), io.upgrade()) {
                    hot.increment_epoch();
                    io.increment_epoch();
                    drop((hot, io));
                    std::thread::sleep(TICK);
                }
            })
            .map(drop)
            .map_err(EngineError::Ticker)
    }
}

/// Sinks have one delivering and one reading instance each, plus one of each during a swap.
const IO_INSTANCES: u32 = 64;

/// With a pool of instances; without one where the machine has not the address space for
/// it (some containers and 39-bit ARM kernels), which costs only speed.
fn engine(instances: u32, cache: &Cache) -> Result<Engine, EngineError> {
    let mut config = configuration(cache);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "no address space for a pool of plugin instances: they will be made on demand, more slowly");
        Engine::new(&configuration(cache)).map_err(EngineError::Configure)
    })
}

fn configuration(cache: &Cache) -> Config {
    let mut config = Config::new();
    config
        .memory_reservation(MEMORY_RESERVATION)
        .epoch_interruption(true)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16))
        .cache(Some(cache.clone()));
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_TABLES)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(MAX_MEMORY_BYTES);
    pool
}

fn open_cache(directory: &Path) -> Result<Cache, EngineError> {
    let failed = |source| EngineError::Cache { path: directory.to_owned(), source };
    create_private_directory(directory).map_err(|error| failed(error.into()))?;
    // wasmtime wants an absolute path.
    let absolute = directory.canonicalize().map_err(|error| failed(error.into()))?;
    let mut config = CacheConfig::new();
    config.with_directory(absolute);
    Cache::new(config).map_err(failed)
}

fn create_private_directory(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
