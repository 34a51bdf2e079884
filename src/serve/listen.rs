//! Where we listen, and under which address people reach us.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, bail};
use axum::Router;
use tocsin_core::config::{check_url, path_of, route_prefix};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use super::Args;
use super::tasks::Tasks;
use crate::config::Loaded;
use crate::http::accept::{CONNECTIONS_MAX, Door, accept};
use crate::http::prefix::under;
use crate::http::starting;

/// Where we listen when nobody says otherwise: this machine alone can reach it.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9190";

/// Takes the ports.
///
/// Errors: an address that is none or is taken, and one that others can reach when every caller is trusted.
pub async fn listen(args: &Args, loaded: &Loaded) -> anyhow::Result<Vec<TcpListener>> {
    let mut addresses = args.listen.clone();
    if addresses.is_empty() {
        for text in &loaded.config.tocsin.web.listen {
            addresses.push(text.parse().with_context(|| format!("web.listen: {text:?} is no address:port"))?);
        }
    }
    if addresses.is_empty() {
        addresses.push(DEFAULT_LISTEN.parse().context("the default address")?);
    }
    let mut listeners = Vec::new();
    for address in addresses {
        if !args.auth && !address.ip().is_loopback() {
            bail!(
                "--no-auth is refused: {address} can be reached from other machines; listen on 127.0.0.1 or [::1], or leave --no-auth away"
            );
        }
        listeners.push(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?);
    }
    Ok(listeners)
}

/// The listeners at work.
pub struct Doors {
    /// What answers a connection that begins now.
    pub router: watch::Sender<Router>,
    /// True once no more connections are wanted.
    pub stop: watch::Sender<bool>,
    /// What connections take room from.
    pub room: Arc<Semaphore>,
}

impl Doors {
    /// Begins to accept connections. Until there is another router they are told, below the prefix, that the service starts.
    pub fn open(listeners: Vec<TcpListener>, prefix: &str, tasks: &mut Tasks) -> anyhow::Result<Doors> {
        let (router, routers) = watch::channel(under(prefix, starting()));
        let (stop, stopped) = watch::channel(false);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        for listener in listeners {
            let address = listener.local_addr().context("a listener without an address")?;
            tasks.start("http", accept(listener, Door { router: routers.clone(), stop: stopped.clone(), room: room.clone() }));
            tracing::info!("Listening on address={address}");
        }
        Ok(Doors { router, stop, room })
    }
}

/// By what name and below which path people reach us.
pub struct Place {
    /// Without a slash at its end.
    pub external_url: String,
    /// Below which path all is served; empty: the root.
    pub prefix: String,
}

/// Returns where people reach us.
///
/// Errors: a URL that is none, and a path that cannot be a prefix.
pub fn place(args: &Args, loaded: &Loaded, listeners: &[TcpListener]) -> anyhow::Result<Place> {
    let web = &loaded.config.tocsin.web;
    let told = args.external_url.as_ref().or(web.external_url.as_ref()).map(|url| url.trim_end_matches('/').to_owned());
    if let Some(fault) = args.external_url.as_deref().and_then(|url| check_url(url).err()) {
        bail!("--web.external-url: {fault}");
    }
    let asked = args.route_prefix.as_deref().or(web.route_prefix.as_deref());
    let path = asked.unwrap_or_else(|| told.as_deref().map_or("", path_of));
    let prefix = route_prefix(path).map_err(|fault| anyhow::anyhow!("--web.route-prefix: {fault}"))?;
    Ok(match told {
        Some(external_url) => Place { external_url, prefix },
        None => Place { external_url: address_of(listeners)? + &prefix, prefix },
    })
}

/// Returns the URL of our own address.
fn address_of(listeners: &[TcpListener]) -> anyhow::Result<String> {
    let address = listeners.first().context("nothing to listen on")?.local_addr().context("a listener without an address")?;
    let url = own_url(address, host_name().as_deref());
    if address.ip().is_unspecified() {
        tracing::warn!("notifications link to {url}; if people reach this service by another name, set web.external_url");
    }
    Ok(url)
}

/// An address that stands for all addresses of this machine is none that anybody could open, so the machine's name takes its place.
fn own_url(address: SocketAddr, host: Option<&str>) -> String {
    if address.ip().is_unspecified() {
        format!("http://{}:{}", host.unwrap_or("localhost"), address.port())
    } else {
        format!("http://{address}")
    }
}

/// Returns this machine's name.
fn host_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?.trim().to_owned();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_replaced_by_a_name() {
        let url = |address: &str, host| own_url(address.parse().expect("an address"), host);
        assert_eq!(url("127.0.0.1:9190", Some("watch-1")), "http://127.0.0.1:9190");
        assert_eq!(url("0.0.0.0:9190", Some("watch-1")), "http://watch-1:9190");
        assert_eq!(url("[::]:80", Some("watch-1")), "http://watch-1:80");
        assert_eq!(url("0.0.0.0:9190", None), "http://localhost:9190");
    }
}
