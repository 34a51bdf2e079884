//! The way back of a server that died: it is rewound to where the other one took over, and follows that one from then on.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::{NAME, Pair, STATEMENT_MAX, Server};
use crate::clock::Stopwatch;

/// What is left of a killed server is gone after this long.
const REMNANTS_MAX: Duration = Duration::from_secs(15);
/// A server that was rewound follows within this time.
const FOLLOW_MAX: Duration = Duration::from_secs(60);

/// Makes a standby of the server that is dead; returns what was done, in a sentence. Where there is none, that is said and nothing done.
///
/// Errors: no server takes orders, or both do, or the dead one cannot be rewound.
pub async fn rejoin(folder: &Path) -> anyhow::Result<String> {
    let pair = Pair::find(folder)?;
    let (primary, standby) = (pair.follows(Server::Primary).await, pair.follows(Server::Standby).await);
    let live = match (&primary, &standby) {
        (Ok(false), Ok(false)) => bail!("both servers take orders; end one of them before anything else"),
        (Ok(false), _) => Server::Primary,
        (_, Ok(false)) => Server::Standby,
        _ => bail!("no server takes orders; promote one first"),
    };
    let dead = live.other();
    if !pair.only_follows(dead) {
        checkpoint(&pair, live).await?;
        rewind(&pair, dead, live).await?;
    }
    // The demo starts a server that only follows by itself.
    let watch = Stopwatch::start();
    while !is_followed(&pair, live).await? {
        if watch.elapsed() > FOLLOW_MAX {
            bail!("the {} does not follow; its log is {}", dead.word(), pair.log(dead).display());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(format!("the {} follows; the {} takes orders", dead.word(), live.word()))
}

/// Writes down in the live server's control file which history it is on; rewinding reads it there.
async fn checkpoint(pair: &Pair, live: Server) -> anyhow::Result<()> {
    let pool = pair.pool(live, 1, Duration::from_secs(2))?;
    let written = tokio::time::timeout(STATEMENT_MAX, sqlx::query("CHECKPOINT").execute(&pool)).await;
    pool.close().await;
    written.context("the checkpoint takes too long")?.context("cannot write a checkpoint")?;
    Ok(())
}

async fn rewind(pair: &Pair, dead: Server, live: Server) -> anyhow::Result<()> {
    let (data, watch) = (pair.data(dead), Stopwatch::start());
    let target = format!("--target-pgdata={}", data.display());
    let source = format!("--source-server=host=127.0.0.1 port={} user={NAME} dbname={NAME}", pair.port(live));
    // The processes of a server that was killed end a moment after it; until then its memory is in use.
    while let Err(error) = pair.run("pg_rewind", &[&target, &source, "-R", "--no-sync"]).await {
        if watch.elapsed() > REMNANTS_MAX {
            return Err(error).with_context(|| format!("the {} cannot be rewound", dead.word()));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    if let (Server::Standby, Some(port)) = (dead, pair.replication_port) {
        pair.append(dead, "postgresql.auto.conf", &pair.upstream(port)?)?;
    }
    Ok(())
}

async fn is_followed(pair: &Pair, live: Server) -> anyhow::Result<bool> {
    let pool = pair.pool(live, 1, Duration::from_secs(2))?;
    let asked =
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'").fetch_one(&pool);
    let answer = tokio::time::timeout(STATEMENT_MAX, asked).await;
    pool.close().await;
    Ok(answer.context("the live server does not answer in time")?.context("cannot ask who follows")? > 0)
}
