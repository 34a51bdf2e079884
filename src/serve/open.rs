//! Opens what lasts: the store of samples, the database, and the state in it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tocsin_core::access::Role;
use tocsin_core::config::Storage;
use tocsin_core::ledger::Alerting;
use tocsin_core::plane::{Plane, Records};
use tocsin_core::route::silence::Tombstone;
use tocsin_core::store::{EXEMPLARS_MAX, Store, StoreOptions};
use tocsin_core::time::{Span, Timestamp};

use super::Args;
use super::chores::ALIVE_EVERY;
use crate::client;
use crate::clock;
use crate::config::Loaded;
use crate::db::accounts::Account;
use crate::db::state::{Document, put_alive_at};
use crate::db::{Db, Write};
use crate::disk::{Disk, DiskError, DiskOptions};
use crate::http::session::hash_password;
use crate::id;
use crate::pipeline::ledger;

/// How long samples are kept when the configuration does not say.
const DEFAULT_RETENTION: Span = Span::from_mins(15 * 24 * 60);

pub fn retention(storage: &Storage) -> Span {
    storage.retention.unwrap_or(DEFAULT_RETENTION)
}

/// Opens the samples, on a thread of its own: a long log takes a while.
pub async fn open_store(data: &Path, storage: &Storage) -> anyhow::Result<(Arc<Store>, Arc<Disk>)> {
    std::fs::create_dir_all(data).with_context(|| format!("cannot make the data folder {}", data.display()))?;
    let store = Arc::new(Store::new(StoreOptions {
        retention: retention(storage),
        out_of_order_window: storage.out_of_order_window,
        exemplars_max: storage.exemplars_max.unwrap_or(EXEMPLARS_MAX),
        hash_seed: id::seed(),
        ..StoreOptions::default()
    }));
    let options = DiskOptions {
        blocks_bytes_max: storage.retention_bytes.unwrap_or(u64::MAX),
        sync_each: storage.sync_every == Span::ZERO,
        ..DiskOptions::default()
    };
    let (opened, data) = (store.clone(), data.to_owned());
    let work = tokio::task::spawn_blocking(move || {
        let (disk, recovery) = Disk::open_with(&data, &opened, options)?;
        // Before anything is forgotten.
        disk.tell_time(&opened, clock::now(), Span::ZERO);
        Ok::<_, DiskError>((disk, recovery))
    });
    let (disk, recovery) = work.await.context("opening the store ended in a fault")??;
    tracing::info!(?recovery, "the store is open");
    Ok((store, Arc::new(disk)))
}

pub async fn open_db(args: &Args, loaded: &Loaded) -> anyhow::Result<Db> {
    Ok(match &loaded.config.tocsin.database {
        Some(url) => Db::open_postgres(&client::reveal(url).await?).await?,
        None => Db::open_sqlite(&args.data.join("tocsin.db")).await?,
    })
}

/// Makes the first account when there is none, and prints its password, this once and at once: whatever fails later, it is known.
pub async fn make_first_account(db: &Db) -> anyhow::Result<()> {
    if !db.accounts().await?.is_empty() {
        return Ok(());
    }
    let password = id::password();
    let password_hash = hash_password(password.clone()).await.map_err(|problem| anyhow::anyhow!(problem.detail))?;
    let account =
        Account { name: "admin".to_owned(), password_hash, role: Role::SreLead, created_at: clock::now(), disabled: false };
    if db.add_account(&account, None).await? {
        println!("First login: name admin, password {password}");
        println!("The password is shown this once; change it under Settings.");
    }
    Ok(())
}

/// Returns the state of alerts, pages and silences as it was recorded, and what is to be recorded of how it differs.
pub async fn restore(
    db: &Db,
    loaded: &Loaded,
    external_url: &str,
    tombstones: Vec<Tombstone>,
    started_at: Timestamp,
) -> anyhow::Result<(Alerting, Vec<Write>)> {
    let alive_at = db.alive_at().await?;
    let unseen = alive_at.map_or(Span::ZERO, |alive_at| Span(started_at.since(alive_at).0 - ALIVE_EVERY.as_millis() as i64));
    let (ledger, mut opening, refused) = ledger::restore(db.instances().await?, unseen.max(Span::ZERO));
    opening.push(put_alive_at(started_at));
    if refused > 0 {
        tracing::error!(refused, "stored alerts contradict themselves and were left out");
    }
    let records = Records {
        alerts: db.documents(Document::RoutedAlert).await?,
        extensions: db.extensions().await?,
        flaps: db.documents(Document::Flap).await?,
        groups: db.documents(Document::Group).await?,
        silences: db.documents(Document::Silence).await?,
        tombstones,
        pages: db.pages_to_restore(10_000).await?,
        alive_at,
        trace: db.trace_mark().await?,
    };
    let plane = Plane::restore(Arc::new(loaded.config.routing.clone()), external_url.to_owned(), records);
    Ok((Alerting { plane, ledger }, opening))
}
