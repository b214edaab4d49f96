//! A world for tests: a network that is a function, an environment that is a map, and a clock
//! that goes with tokio's (paused) time from 2026-11-22T17:30:05Z on.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{Request, Response};

use super::exchange::{Exchange, Surroundings};

/// `None`: no answer, ever.
type Reply = Arc<dyn Fn(&Request<Bytes>) -> Option<Response<Bytes>> + Send + Sync>;

pub(super) struct Network {
    reply: Reply,
    environment: BTreeMap<String, String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Network {
    pub(super) fn new(
        reply: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        Self::of(Arc::new(move |request| Some(reply(request))))
    }

    /// Nothing is to be asked.
    pub(super) fn silent() -> Self {
        Self::new(|_| status(500, "nothing should have been asked"))
    }

    /// Packets vanish.
    pub(super) fn hanging() -> Self {
        Self::of(Arc::new(|_| None))
    }

    fn of(reply: Reply) -> Self {
        // No file of the developer's home may decide a test.
        let environment = [("HOME".to_owned(), "/nonexistent".to_owned())].into();
        Self { reply, environment, asked: Arc::default() }
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Method and address of every request so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn surroundings(&self) -> Surroundings {
        let (reply, asked) = (Arc::clone(&self.reply), Arc::clone(&self.asked));
        let exchange: Exchange = Arc::new(move |request| {
            asked.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
            let reply = reply(&request);
            Box::pin(async move {
                match reply {
                    Some(reply) => Ok(reply),
                    None => std::future::pending().await,
                }
            })
        });
        let environment = self.environment.clone();
        let start = tokio::time::Instant::now();
        Surroundings::new(exchange, move |name| environment.get(name).cloned())
            .with_clock(move || UNIX_EPOCH + Duration::from_secs(1_795_368_605) + start.elapsed())
    }
}

pub(super) fn answer(body: &str) -> Response<Bytes> {
    status(200, body)
}

pub(super) fn status(status: u16, body: &str) -> Response<Bytes> {
    Response::builder().status(status).body(Bytes::from(body.to_owned())).unwrap()
}

pub(super) fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}
