//! One PostgreSQL database.
//!
//! Two connections: statements go over one, questions over the other, which the server lets
//! only read. Each is made when it is needed and again when it broke, and nothing runs between
//! two calls: whoever waits drives the connection. One that a call was given up on is closed,
//! and the server undoes what it had not finished; `statement_timeout` ends a question that
//! nobody waits for. What the server says of a row's values is not passed on, only its message:
//! details quote rows.
//!
//! Parameters go as text, which the server reads as the type that the statement gives the place;
//! results are whole numbers, real numbers, booleans (0 and 1), text, JSON and bytes. Another
//! type has to be cast in the statement.

use std::collections::HashMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

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

/// A plugin's database.
pub(crate) struct Postgres {
    address: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    /// What one call of the plugin has, `limits.io_ms`. Everything here ends before that: a
    /// server that is gone is no reason to end the plugin.
    limit: Duration,
    writing: Mutex<Option<Session>>,
    reading: Mutex<Option<Session>>,
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
        if address.get_application_name().is_none() {
            address.application_name("torana");
        }
        Ok(Self {
            address,
            tls: MakeRustlsConnect::new(tls),
            limit,
            writing: Mutex::default(),
            reading: Mutex::default(),
        })
    }

    pub(super) async fn execute(&self, statements: &[Statement]) -> Result<Vec<u64>, Error> {
        let mut place = self.writing.lock().await;
        let mut session = self.session(place.take(), "off").await?;
        let work = run(&mut session.client, &mut session.prepared, statements);
        let done = within(self.limit * 7 / 8, driven(work, &mut session.driver)).await;
        keep(&mut place, session, done)
    }

    pub(super) async fn query(&self, statement: &Statement) -> Result<Rows, Error> {
        let mut place = self.reading.lock().await;
        let mut session = self.session(place.take(), "on").await?;
        let work = ask(&session.client, &mut session.prepared, statement);
        let done = within(self.limit * 7 / 8, driven(work, &mut session.driver)).await;
        keep(&mut place, session, done)
    }

    /// The session that is there, if it still is, or a new one.
    async fn session(&self, open: Option<Session>, read_only: &str) -> Result<Session, Error> {
        if let Some(mut session) = open {
            // What the server said in the meantime is read here: it may have been a farewell.
            drop((&mut session.driver).now_or_never());
            if !session.driver.is_terminated() {
                return Ok(session);
            }
        }
        within(self.limit / 2, self.connect(read_only)).await
    }

    async fn connect(&self, read_only: &str) -> Result<Session, Error> {
        let (client, connection) =
            self.address.connect(self.tls.clone()).await.map_err(|error| understand(&error))?;
        let driver: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(connection);
        let mut session = Session { client, prepared: HashMap::new(), driver: driver.fuse() };
        // Not as options of the connection: poolers refuse those.
        let set = format!(
            "SET statement_timeout = {}; SET default_transaction_read_only = {read_only}; \
             SET client_encoding = 'UTF8'; SET timezone = 'UTC'; SET datestyle = 'ISO'",
            (self.limit * 3 / 4).as_millis()
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

async fn within<R>(
    limit: Duration,
    work: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Storage(format!("the server did not answer within {} ms", limit.as_millis())))
    })
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

/// All in one transaction, sent without waiting for each answer.
async fn run(
    client: &mut Client,
    prepared: &mut HashMap<String, Prepared>,
    statements: &[Statement],
) -> Result<Vec<u64>, Error> {
    let transaction = client.transaction().await.map_err(|error| understand(&error))?;
    // A table that one statement makes is there for the next one only after it ran.
    let mut changed = Vec::with_capacity(statements.len());
    let mut rest = statements;
    while let Some((first, others)) = rest.split_first() {
        prepare(&transaction, prepared, first).await?;
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
    transaction.commit().await.map_err(|error| understand(&error))?;
    Ok(changed)
}

async fn prepare(
    transaction: &Transaction<'_>,
    prepared: &mut HashMap<String, Prepared>,
    statement: &Statement,
) -> Result<(), Error> {
    if !prepared.contains_key(&statement.sql) {
        if prepared.len() >= PREPARED {
            prepared.clear();
        }
        let known =
            transaction.prepare(&statement.sql).await.map_err(|error| understand(&error))?;
        prepared.insert(statement.sql.clone(), known);
    }
    Ok(())
}

async fn ask(
    client: &Client,
    prepared: &mut HashMap<String, Prepared>,
    statement: &Statement,
) -> Result<Rows, Error> {
    let known = match prepared.get(&statement.sql) {
        Some(known) => known.clone(),
        None => {
            if prepared.len() >= PREPARED {
                prepared.clear();
            }
            let known = client.prepare(&statement.sql).await.map_err(|error| understand(&error))?;
            prepared.insert(statement.sql.clone(), known.clone());
            known
        }
    };
    let types: Vec<Type> = known.columns().iter().map(|column| column.type_().clone()).collect();
    let mut taken = Taken::new(known.columns().iter().map(|it| it.name().to_owned()).collect());
    let parameters = parameters(&known, statement)?;
    let rows = client.query_raw(&known, parameters).await.map_err(|error| understand(&error))?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await.map_err(|error| understand(&error))? {
        taken.row()?;
        for (column, kind) in types.iter().enumerate() {
            value::take(&row, column, kind, &mut taken)?;
        }
    }
    Ok(taken.rows())
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
        Some(rustls::Error::InvalidCertificate(_))
    )
}
