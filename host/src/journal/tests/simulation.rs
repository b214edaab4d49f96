//! A disk in memory that loses power.
//!
//! Keeps for every file what is on the disk and, in order, what was written since; for every
//! name in a directory what it was at each moment since the directory was synced. At a loss of
//! power each file gets any of its unsynced writes, whole, torn at a byte or in blocks, with
//! zeros or another file's old bytes where a block is missing; each name gets any of its states,
//! independently of the others. A failed sync leaves writes that never reach the disk, and says
//! so once, as Linux does. Faults come at a chosen operation from now.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex, PoisonError};

use super::super::disk::{Disk, DiskFile, DiskLock};

/// A small generator of our own: a history is repeated by its seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64, by Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not zero.
    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn is_content(&self) -> bool {
        matches!(self, Self::Write { bytes, .. } if bytes.iter().any(|byte| *byte != 0))
    }
}

#[derive(Debug, Clone, Default)]
struct FileContent {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

/// What a name was since its directory was synced; the last is what everybody sees.
type History = Vec<Option<usize>>;

#[derive(Debug, Clone)]
enum Node {
    File(FileContent),
    Directory(BTreeMap<OsString, History>),
}

/// Which operations fail, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault {
    /// Operations that still succeed.
    pub(super) after: u32,
    /// Operations that fail then.
    pub(super) times: u32,
    pub(super) kind: io::ErrorKind,
}

#[derive(Debug, Clone)]
struct World {
    nodes: Vec<Node>,
    dice: Dice,
    fault: Option<Fault>,
    locked: bool,
    /// Broken on purpose: what the model test must notice.
    forgetful: Option<Sabotage>,
}

/// A sync that reports success and does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    File,
    Directory,
}

#[derive(Debug, Clone)]
pub(super) struct Simulation(Arc<Mutex<World>>);

impl Simulation {
    pub(super) fn new(seed: u64, forgetful: Option<Sabotage>) -> Self {
        let nodes = vec![Node::Directory(BTreeMap::new())];
        Self::of(World { nodes, dice: Dice::new(seed), fault: None, locked: false, forgetful })
    }

    fn of(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_fault(&self, fault: Option<Fault>) {
        self.world().fault = fault;
    }

    /// How often something was written since the last sync that is not all zeros.
    pub(super) fn writes(&self) -> usize {
        let of_a_file = |node: &Node| match node {
            Node::Directory(_) => 0,
            Node::File(file) => file.unsynced.iter().filter(|change| change.is_content()).count(),
        };
        self.world().nodes.iter().map(of_a_file).sum()
    }

    /// What the next process finds when this one is killed now. This disk stays as it is.
    pub(super) fn killed(&self) -> Self {
        let mut world = self.world().clone();
        world.locked = false;
        world.fault = None;
        Self::of(world)
    }

    /// What the next process finds when the power is lost now.
    pub(super) fn without_power(&self) -> Self {
        let killed = self.killed();
        killed.world().lose_power();
        killed
    }
}

impl World {
    fn lose_power(&mut self) {
        let Self { nodes, dice, .. } = self;
        let stale: Vec<Vec<u8>> = nodes
            .iter()
            .filter_map(|node| match node {
                Node::File(file) => Some(file.seen.clone()),
                Node::Directory(_) => None,
            })
            .collect();
        for node in nodes {
            match node {
                Node::File(file) => file.lose_power(dice, &stale),
                Node::Directory(names) => {
                    for history in names.values_mut() {
                        let state = history.get(dice.below(history.len())).copied().flatten();
                        *history = vec![state];
                    }
                }
            }
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut at = 0;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            let Node::Directory(names) = self.nodes.get(at)? else {
                return None;
            };
            at = names.get(name)?.last().copied().flatten()?;
        }
        Some(at)
    }

    fn file(&mut self, node: usize) -> &mut FileContent {
        match self.nodes.get_mut(node) {
            Some(Node::File(file)) => file,
            other => unreachable!("{other:?} is no file"),
        }
    }

    fn directory(&mut self, path: &Path) -> io::Result<&mut BTreeMap<OsString, History>> {
        let node = self.find(path).ok_or(io::ErrorKind::NotFound)?;
        match self.nodes.get_mut(node) {
            Some(Node::Directory(names)) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn point(&mut self, path: &Path, node: Option<usize>) -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let history = self.directory(parent)?.entry(name.to_owned()).or_insert_with(|| vec![None]);
        history.push(node);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        self.nodes.push(node);
        let index = self.nodes.len() - 1;
        self.point(path, Some(index))?;
        Ok(index)
    }

    /// Whether this operation fails.
    fn fails(&mut self) -> io::Result<()> {
        let Some(fault) = &mut self.fault else {
            return Ok(());
        };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        let error = fault.kind.into();
        fault.times -= 1;
        if fault.times == 0 {
            self.fault = None;
        }
        Err(error)
    }
}

impl FileContent {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.unsynced.push(change);
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &change);
        }
    }

    fn lose_power(&mut self, dice: &mut Dice, stale: &[Vec<u8>]) {
        let unsynced = std::mem::take(&mut self.unsynced);
        match dice.below(5) {
            0 => {}
            1 => unsynced.iter().for_each(|change| apply(&mut self.durable, change)),
            2 => self.cut_at_a_byte(&unsynced, dice),
            _ => {
                let block = if dice.coin() { 512 } else { 4096 };
                self.blocks(&unsynced, block, dice, stale);
            }
        }
        self.seen = self.durable.clone();
    }

    /// All in order, up to some byte.
    fn cut_at_a_byte(&mut self, unsynced: &[Change], dice: &mut Dice) {
        let whole = dice.below(unsynced.len() + 1);
        for change in &unsynced[..whole] {
            apply(&mut self.durable, change);
        }
        if let Some(Change::Write { offset, bytes }) = unsynced.get(whole) {
            let bytes = bytes[..dice.below(bytes.len() + 1)].to_vec();
            apply(&mut self.durable, &Change::Write { offset: *offset, bytes });
        }
    }

    /// Any length that the file had, and of each block any state that it had.
    fn blocks(&mut self, unsynced: &[Change], block: usize, dice: &mut Dice, stale: &[Vec<u8>]) {
        let mut states = vec![self.durable.clone()];
        for change in unsynced {
            let mut next = states.last().cloned().unwrap_or_default();
            apply(&mut next, change);
            states.push(next);
        }
        let mut crashed = vec![0; states[dice.below(states.len())].len()];
        let was = self.durable.len();
        for (index, place) in crashed.chunks_mut(block).enumerate() {
            let from = index * block;
            let state = &states[dice.below(states.len())];
            // A block that was allocated and never written shows what was there before.
            if from >= was && dice.below(4) == 0 && !stale.is_empty() {
                let old = &stale[dice.below(stale.len())];
                copy(place, old.get(from..).unwrap_or(old));
            }
            copy(place, state.get(from..).unwrap_or_default());
        }
        self.durable = crashed;
    }
}

fn copy(place: &mut [u8], bytes: &[u8]) {
    for (to, from) in place.iter_mut().zip(bytes) {
        *to = *from;
    }
}

fn apply(content: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => content.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset..end].copy_from_slice(bytes);
        }
    }
}

impl Disk for Simulation {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.fails()?;
        if world.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        world.add(path, Node::Directory(BTreeMap::new())).map(drop)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.world().directory(path).is_ok()
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut world = self.world();
        world.fails()?;
        let names = world.directory(directory)?;
        let there = names.iter().filter(|(_, history)| history.last().is_some_and(Option::is_some));
        Ok(there.map(|(name, _)| name.clone()).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.fails()?;
        if world.find(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = world.add(path, Node::File(FileContent::default()))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), node }))
    }

    fn create_or_truncate(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.fails()?;
        let node = match world.find(path) {
            Some(node) => {
                world.file(node).change(Change::Length(0));
                node
            }
            None => world.add(path, Node::File(FileContent::default()))?,
        };
        Ok(Box::new(SimulatedFile { disk: self.clone(), node }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut world = self.world();
        world.fails()?;
        let node = world.find(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.fails()?;
        let node = world.find(from).ok_or(io::ErrorKind::NotFound)?;
        world.point(to, Some(node))?;
        world.point(from, None)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.fails()?;
        world.find(path).ok_or(io::ErrorKind::NotFound)?;
        world.point(path, None)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.fails()?;
        if world.forgetful == Some(Sabotage::Directory) {
            return Ok(());
        }
        for history in world.directory(path)?.values_mut() {
            history.drain(..history.len() - 1);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        if self.world().find(path).is_none() {
            self.create(path)?;
        }
        let mut world = self.world();
        if std::mem::replace(&mut world.locked, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimulatedLock(self.clone()))))
    }
}

#[derive(Debug)]
struct SimulatedFile {
    disk: Simulation,
    node: usize,
}

impl DiskFile for SimulatedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        let failed = world.fails();
        let kept = if failed.is_err() { world.dice.below(bytes.len() + 1) } else { bytes.len() };
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = bytes[..kept].to_vec();
        world.file(self.node).change(Change::Write { offset, bytes });
        failed
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut world = self.disk.world();
        world.fails()?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let there = world.file(self.node).seen.get(offset..).unwrap_or_default();
        copy(bytes, there);
        Ok(there.len().min(bytes.len()))
    }

    fn length(&self) -> io::Result<u64> {
        let mut world = self.disk.world();
        world.fails()?;
        Ok(world.file(self.node).seen.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut world = self.disk.world();
        world.fails()?;
        let length = usize::try_from(length).map_err(io::Error::other)?;
        world.file(self.node).change(Change::Length(length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut world = self.disk.world();
        if let Err(error) = world.fails() {
            // The pages count as clean now; what they held may never be written.
            let World { nodes, dice, .. } = &mut *world;
            if let Some(Node::File(file)) = nodes.get_mut(self.node) {
                file.unsynced.retain(|_| dice.coin());
            }
            return Err(error);
        }
        if world.forgetful != Some(Sabotage::File) {
            world.file(self.node).sync();
        }
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedLock(Simulation);

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.world().locked = false;
    }
}
