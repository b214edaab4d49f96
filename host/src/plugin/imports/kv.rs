//! `torana:host/kv`: a small map that outlives reloads, private to one plugin, bounded by
//! the granted bytes (keys and values together).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::GuestState;
use crate::plugin::bindings::host::torana::host::kv::{Error, Host};

/// The map of one plugin.
#[derive(Debug)]
pub(crate) struct KeyValue {
    limit_bytes: u64,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    entries: BTreeMap<String, Vec<u8>>,
    bytes: u64,
}

impl KeyValue {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self { limit_bytes, map: Mutex::default() }
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().entries.get(key).cloned()
    }

    fn set(&self, key: String, value: Vec<u8>) -> Result<(), Error> {
        let mut map = self.lock();
        let replaced = map.entries.get(&key).map_or(0, |old| weight(&key, old));
        let bytes = map.bytes - replaced + weight(&key, &value);
        if bytes > self.limit_bytes {
            return Err(Error::Full);
        }
        map.bytes = bytes;
        map.entries.insert(key, value);
        Ok(())
    }

    fn delete(&self, key: &str) {
        let mut map = self.lock();
        if let Some(value) = map.entries.remove(key) {
            map.bytes -= weight(key, &value);
        }
    }

    fn keys(&self, prefix: &str) -> Vec<String> {
        let map = self.lock();
        map.entries
            .range(prefix.to_owned()..)
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .cloned()
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

impl Host for GuestState {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        self.capabilities.kv.as_ref()?.get(&key)
    }

    fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Error> {
        match &self.capabilities.kv {
            Some(kv) => kv.set(key, value),
            None => Err(Error::Full),
        }
    }

    fn delete(&mut self, key: String) {
        if let Some(kv) = &self.capabilities.kv {
            kv.delete(&key);
        }
    }

    fn keys(&mut self, prefix: String) -> Vec<String> {
        self.capabilities.kv.as_ref().map(|kv| kv.keys(&prefix)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_granted_bytes_bound_keys_and_values_together() {
        let kv = KeyValue::new(10);
        assert!(kv.set("ab".into(), vec![0; 8]).is_ok());
        assert!(kv.set("c".into(), vec![]).is_err(), "full");
        assert!(kv.set("ab".into(), vec![0; 4]).is_ok(), "a smaller value makes room");
        assert!(kv.set("cd".into(), vec![0; 2]).is_ok());
        assert_eq!(kv.keys("a"), ["ab"]);
        kv.delete("ab");
        assert_eq!(kv.get("ab"), None);
        assert!(kv.set("ef".into(), vec![0; 4]).is_ok());
    }
}
