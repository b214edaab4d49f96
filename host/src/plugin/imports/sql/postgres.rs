//! One PostgreSQL database.
//!
//! Each instance of a plugin has a connection of its own, so that a question does not hold up
//! the writing. It is made when it is needed and again when it broke, and nothing runs between
//! two calls: whoever waits drives the connection. Questions run in transactions that only read.
//! Everything ends before the time of the plugin's call is over, which a server that is gone
//! shall not cost its plugin; a connection that was given up on is closed, and the server undoes
//! what it had not finished. What the server says of a row's values is not passed on, only its
//! message: details quote rows.
//!
//! Parameters go as text, which the server reads as the type that the statement gives the place;
//! results are whole numbers, real numbers, booleans (0 and 1), text, JSON and bytes. Another
//! type has to be cast in the statement.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::{Fuse, FusedFuture as _, try_join_all};
use futures_util::{FutureExt as _, TryStreamExt as _};
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement as Prepared, Transaction};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Error, Rows, Statement, Taken};
use crate::config::DatabaseUrl;
use value::Parameter;

mod value;

/// Statements kept prepared on each connection: a sink has a handful of its own, and questions
/// of many shapes. With one more they are all forgotten.
const PREPARED: usize = 64;

/// How the server is found, and how long it may take.
struct Server {
    address: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    /// What one call of the plugin has: `limits.io_ms`.
    limit: Duration,
}

/// A plugin's database, for one instance of it.
pub(crate) struct Postgres {
    server: Arc<Server>,
    session: Mutex<Option<Session>>,
}

/// A connection, with what drives it.
struct Session {
    client: Client,
    prepared: HashMap<String, Prepared>,
    driver: Driver,
}

/// Ends when the connection does. Its words at that go to whoever waits, too.
type Driver = Fuse<Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>>;

impl Postgres {
    /// Connects to nothing yet: a server may come later than the gateway.
    pub(crate) fn new(url: &DatabaseUrl, limit: Duration) -> Result<Self, rustls::Error> {
        let tls = crate::upstream::tls::client_configuration_with(url.roots())?;
        let mut address = url.address().clone();
        if address.get_connect_timeout().is_none() {
            // For each address: a host has one of each family, and the last shall be tried too.
            let addresses = address.get_hosts().len().max(1) * 2;
            let each = limit / 2 / u32::try_from(addresses).unwrap_or(u32::MAX);
            address.connect_timeout(each);
        }
        if address.get_application_name().is_none() {
            address.application_name("torana");
        }
        let server = Server { address, tls: MakeRustlsConnect::new(tls), limit };
        Ok(Self { server: Arc::new(server), session: Mutex::default() })
    }

    /// The same database for another instance.
    pub(crate) fn another(&self) -> Self {
        Self { server: self.server.clone(), session: Mutex::default() }
    }

    pub(super) async fn execute(
        &self,
        statements: &[Statement],
        call_ends: Instant,
    ) -> Result<Vec<u64>, Error> {
        self.within(call_ends, async {
            let mut place = self.session.lock().await;
            let mut session = self.server.session(place.take()).await?;
            let work = run(&mut session.client, &mut session.prepared, statements);
            let done = driven(work, &mut session.driver).await;
            keep(&mut place, session, done)
        })
        .await
    }

    pub(super) async fn query(
        &self,
        statement: &Statement,
        call_ends: Instant,
    ) -> Result<Rows, Error> {
        self.within(call_ends, async {
            let mut place = self.session.lock().await;
            let mut session = self.server.session(place.take()).await?;
            let work = ask(&mut session.client, &mut session.prepared, statement);
            let done = driven(work, &mut session.driver).await;
            keep(&mut place, session, done)
        })
        .await
    }

    /// Leaves the plugin an eighth of its time to say what became of the call.
    async fn within<R>(
        &self,
        call_ends: Instant,
        work: impl Future<Output = Result<R, Error>>,
    ) -> Result<R, Error> {
        let end = call_ends.checked_sub(self.server.limit / 8).unwrap_or(call_ends);
        tokio::time::timeout_at(end.into(), work).await.unwrap_or_else(|_| {
            let limit = self.server.limit.as_millis();
            Err(Error::Storage(format!(
                "the server did not answer in time; a call has {limit} ms (limits.io_ms)"
            )))
        })
    }
}

impl Server {
    /// The session that is there, if it still is, or a new one.
    async fn session(&self, open: Option<Session>) -> Result<Session, Error> {
        if let Some(mut session) = open {
            // What the server said in the meantime is read here: it may have been a farewell.
            drop((&mut session.driver).now_or_never());
            if !session.driver.is_terminated() {
                return Ok(session);
            }
        }
        self.connect().await.map_err(|error| match error {
            // Whatever keeps us out, it is not a row.
            Error::Constraint(words) | Error::Statement(words) => Error::Storage(words),
            other => other,
        })
    }

    async fn connect(&self) -> Result<Session, Error> {
        let (client, connection) =
            self.address.connect(self.tls.clone()).await.map_err(|error| understand(&error))?;
        let driver: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
        let mut session = Session { client, prepared: HashMap::new(), driver: driver.fuse() };
        // Not as options of the connection: poolers refuse those. The last is of version 14: it
        // ends what nobody waits for.
        let set = format!(
            "SET statement_timeout = {}; SET client_encoding = 'UTF8'; SET timezone = 'UTC'; \
             SET datestyle = 'ISO'; SELECT set_config(name, '1s', false) FROM pg_settings \
             WHERE name = 'client_connection_check_interval'",
            self.limit.as_millis()
        );
        let work =
            async { session.client.batch_execute(&set).await.map_err(|error| understand(&error)) };
        driven(work, &mut session.driver).await?;
        Ok(session)
    }
}

/// Puts the session back, unless something is wrong with it.
fn keep<R>(
    place: &mut Option<Session>,
    mut session: Session,
    done: Result<R, Error>,
) -> Result<R, Error> {
    match &done {
        Ok(_) | Err(Error::Constraint(_) | Error::Busy) => *place = Some(session),
        // Of a table that was changed, what was prepared is no good any more.
        Err(Error::Statement(_)) => {
            session.prepared.clear();
            *place = Some(session);
        }
        Err(Error::Storage(_) | Error::TooLarge) => {}
    }
    done
}

/// Does the work while the connection is driven.
async fn driven<R>(
    work: impl Future<Output = Result<R, Error>>,
    driver: &mut Driver,
) -> Result<R, Error> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(done);
            }
            if driver.is_terminated() {
                let closed = "the server closed the connection".to_owned();
                return Poll::Ready(Err(Error::Storage(closed)));
            }
            // Sends what the work asked for just now, and wakes it when there is an answer.
            if Pin::new(&mut *driver).poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// All in one transaction.
async fn run(
    client: &mut Client,
    prepared: &mut HashMap<String, Prepared>,
    statements: &[Statement],
) -> Result<Vec<u64>, Error> {
    let transaction = client.transaction().await.map_err(|error| understand(&error))?;
    let changed = execute(&transaction, prepared, statements).await;
    end(transaction, changed).await
}

/// Reads, in a transaction that can do nothing else.
async fn ask(
    client: &mut Client,
    prepared: &mut HashMap<String, Prepared>,
    statement: &Statement,
) -> Result<Rows, Error> {
    let transaction = client.build_transaction().read_only(true).start().await;
    let transaction = transaction.map_err(|error| understand(&error))?;
    let rows = read(&transaction, prepared, statement).await;
    end(transaction, rows).await
}

/// Commits what was done, or undoes it where the session is used again.
async fn end<R>(transaction: Transaction<'_>, done: Result<R, Error>) -> Result<R, Error> {
    match done {
        Ok(done) => {
            transaction.commit().await.map_err(|error| understand(&error))?;
            Ok(done)
        }
        // The transaction goes with the session.
        Err(error @ (Error::Storage(_) | Error::TooLarge)) => Err(error),
        Err(error) => {
            transaction.rollback().await.map_err(|error| understand(&error))?;
            Err(error)
        }
    }
}

/// Statements of a transaction, sent without waiting for each answer.
async fn execute(
    transaction: &Transaction<'_>,
    prepared: &mut HashMap<String, Prepared>,
    statements: &[Statement],
) -> Result<Vec<u64>, Error> {
    // A table that one statement makes is there for the next one only after it ran.
    let mut changed = Vec::with_capacity(statements.len());
    let mut rest = statements;
    while let Some((first, others)) = rest.split_first() {
        prepare(transaction, prepared, first).await?;
        let known = 1 + others.iter().take_while(|other| prepared.contains_key(&other.sql)).count();
        let (now, later) = rest.split_at(known.min(rest.len()));
        let mut work = Vec::with_capacity(now.len());
        for statement in now {
            let Some(known) = prepared.get(&statement.sql) else { continue };
            work.push(transaction.execute_raw(known, parameters(known, statement)?));
        }
        changed.extend(try_join_all(work).await.map_err(|error| understand(&error))?);
        rest = later;
    }
    Ok(changed)
}

async fn read(
    transaction: &Transaction<'_>,
    prepared: &mut HashMap<String, Prepared>,
    statement: &Statement,
) -> Result<Rows, Error> {
    let known = prepare(transaction, prepared, statement).await?;
    let types: Vec<Type> = known.columns().iter().map(|column| column.type_().clone()).collect();
    let mut taken = Taken::new(known.columns().iter().map(|it| it.name().to_owned()).collect());
    let parameters = parameters(&known, statement)?;
    let rows = transaction.query_raw(&known, parameters).await;
    let mut rows = std::pin::pin!(rows.map_err(|error| understand(&error))?);
    while let Some(row) = rows.try_next().await.map_err(|error| understand(&error))? {
        taken.row()?;
        for (column, kind) in types.iter().enumerate() {
            value::take(&row, column, kind, &mut taken)?;
        }
    }
    Ok(taken.rows())
}

async fn prepare(
    transaction: &Transaction<'_>,
    prepared: &mut HashMap<String, Prepared>,
    statement: &Statement,
) -> Result<Prepared, Error> {
    if let Some(known) = prepared.get(&statement.sql) {
        return Ok(known.clone());
    }
    if prepared.len() >= PREPARED {
        prepared.clear();
    }
    let known = transaction.prepare(&statement.sql).await.map_err(|error| understand(&error))?;
    prepared.insert(statement.sql.clone(), known.clone());
    Ok(known)
}

fn parameters<'a>(known: &Prepared, statement: &'a Statement) -> Result<Vec<Parameter<'a>>, Error> {
    let (found, expected) = (statement.parameters.len(), known.params().len());
    if found == expected {
        return Ok(statement.parameters.iter().map(Parameter).collect());
    }
    Err(Error::Statement(format!("it has places for {expected} parameters and was given {found}")))
}

/// Whose fault it is, and what to do. Errors of class 22 (values), 23 (constraints) and 54 (too
/// much) are of the row; what nobody knows may pass.
fn understand(error: &tokio_postgres::Error) -> Error {
    let Some(said) = error.as_db_error() else {
        let mut words = error.to_string();
        if let Some(source) = error.source() {
            words = format!("{words}: {source}");
        }
        let advice = if is_certificate_unknown(error) {
            "name the authority of its certificate as `sslrootcert` of the URL"
        } else {
            "is the server there, and its address right?"
        };
        return Error::Storage(format!("{words}; {advice}"));
    };
    // Not its detail, which quotes rows.
    let message = format!("{} ({})", said.message(), said.code().code());
    match said.code() {
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE => Error::Busy,
        &SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Error::Storage(format!("{message}; check user and password in `database` of the sink"))
        }
        &SqlState::INVALID_CATALOG_NAME => {
            Error::Storage(format!("{message}; create the database, or name another one"))
        }
        &SqlState::INSUFFICIENT_PRIVILEGE => Error::Storage(format!(
            "{message}; let the user create in the database, or in the schema, and read and write"
        )),
        // Ids that are there already are passed over, so that it is the number of the row, which
        // the server gives.
        &SqlState::UNIQUE_VIOLATION
            if said.constraint().is_some_and(|it| it.ends_with("_pkey")) =>
        {
            Error::Storage(format!(
                "{message}; the sequence of the table's numbers is behind: set it with setval"
            ))
        }
        &SqlState::DISK_FULL => {
            Error::Storage(format!("{message}; make room, or keep rows for fewer days"))
        }
        &SqlState::READ_ONLY_SQL_TRANSACTION => {
            Error::Storage(format!("{message}; name a server that takes writes, not a standby"))
        }
        code => match code.code().get(..2) {
            Some("22" | "23" | "54") => Error::Constraint(message),
            Some("42" | "0A" | "3F") => Error::Statement(message),
            _ => Error::Storage(message),
        },
    }
}

fn is_certificate_unknown(error: &tokio_postgres::Error) -> bool {
    let failure = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let cause = failure.and_then(|failure| failure.get_ref());
    matches!(
        cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()),
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    )
}
