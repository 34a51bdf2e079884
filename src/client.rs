//! HTTP clients made from settings, and secrets read at the last moment.

pub mod answer;

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tocsin_core::client::{Auth, HttpClient, Secret, Tls};
use tokio::sync::{OnceCell, RwLock};

/// How we name ourselves to other servers.
pub const USER_AGENT: &str = concat!("tocsin/", env!("CARGO_PKG_VERSION"));

/// A secret in a file is at most this long.
const SECRET_BYTES_MAX: u64 = 1 << 20;
const REDIRECTS_MAX: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot read the secret in file {path}")]
    SecretFile {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the secret in file {path} is longer than 1 MiB")]
    SecretSize { path: String },
    #[error("the environment variable {name} is not set")]
    SecretEnvironment { name: String },
    #[error("cannot use the {what} of tls_config: {reason}")]
    Tls { what: &'static str, reason: String },
    #[error("cannot use the proxy or build the client")]
    Build(#[source] reqwest::Error),
    #[error("cannot send the header {name}")]
    Header { name: String },
}

/// Returns a secret's value. Files are read at each call, so that a rotated secret is used at once.
pub async fn reveal(secret: &Secret) -> Result<String, ClientError> {
    match secret {
        Secret::Inline(value) => Ok(value.clone()),
        Secret::File(path) => {
            let fault = |cause| ClientError::SecretFile { path: path.clone(), cause };
            if tokio::fs::metadata(path).await.map_err(fault)?.len() > SECRET_BYTES_MAX {
                return Err(ClientError::SecretSize { path: path.clone() });
            }
            Ok(tokio::fs::read_to_string(path).await.map_err(fault)?.trim().to_owned())
        }
        #[allow(clippy::disallowed_methods, reason = "a secret named by its environment variable is read when it is used")]
        Secret::Env(name) => std::env::var(name).map_err(|_| ClientError::SecretEnvironment { name: name.clone() }),
    }
}

/// Builds a client; connections are kept and reused by it.
pub async fn build(settings: &HttpClient, connect_timeout: Duration) -> Result<reqwest::Client, ClientError> {
    build_with(settings, connect_timeout, Policy::limited(REDIRECTS_MAX), Connections::Kept).await
}

/// Whether connections are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    Kept,
    /// As `Kept`, for what is posted and must arrive.
    Posting,
    /// Each request opens its own, as a new user does, so that it goes where the name leads now.
    Fresh,
}

/// Builds a client that tries what users do: on a new connection for each request. It follows a redirect only to the same host, since
/// the secrets of a request are not for another.
async fn build_for_probes(settings: &HttpClient, connect_timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let policy = Policy::custom(|attempt| {
        if stays(&attempt) && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
    });
    build_with(settings, connect_timeout, policy, Connections::Fresh).await
}

/// Returns whether a redirect stays on its host and does not leave TLS.
fn stays(attempt: &reqwest::redirect::Attempt<'_>) -> bool {
    attempt.previous().last().is_some_and(|from| {
        let host = |url: &reqwest::Url| (url.host_str().map(str::to_owned), url.port_or_known_default());
        let upgrades =
            from.scheme() == "http" && attempt.url().scheme() == "https" && from.host_str() == attempt.url().host_str();
        upgrades || from.scheme() == attempt.url().scheme() && host(from) == host(attempt.url())
    })
}

/// Builds a client that posts what must arrive: it follows a redirect only to the same host, and only one that keeps method and
/// body. After any other the message would be lost, or its secrets be told to a stranger.
pub async fn build_for_posts(settings: &HttpClient, connect_timeout: Duration) -> Result<reqwest::Client, ClientError> {
    let policy = Policy::custom(|attempt| {
        let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
        let from = attempt.previous().last();
        let stays = from.is_some_and(|from| {
            from.host_str() == attempt.url().host_str() && (from.scheme() == "http" || attempt.url().scheme() == "https")
        });
        if keeps_body && stays && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
    });
    build_with(settings, connect_timeout, policy, Connections::Kept).await
}

/// Builds a client for one request to one host, whose addresses the caller has looked at: it connects to these and to no others, by no
/// proxy, tries once, and follows a redirect only to the same host and port, never from TLS to plain text. `reads`: the request
/// changes nothing; another one follows only a redirect that keeps method and body.
pub async fn build_pinned(
    host: &str,
    addresses: &[std::net::SocketAddr],
    reads: bool,
    connect_timeout: Duration,
) -> Result<reqwest::Client, ClientError> {
    let policy = Policy::custom(move |attempt| {
        let stays = attempt.previous().last().is_some_and(|from| {
            from.host_str() == attempt.url().host_str()
                && from.port_or_known_default() == attempt.url().port_or_known_default()
                && from.scheme() == attempt.url().scheme()
        });
        let fits = reads || matches!(attempt.status().as_u16(), 307 | 308);
        if stays && fits && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
    });
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .no_proxy()
        .redirect(policy)
        .retry(reqwest::retry::never())
        .resolve_to_addrs(host, addresses)
        .tls_backend_preconfigured(tls_config(&Tls::default()).await?)
        .build()
        .map_err(ClientError::Build)
}

async fn build_with(
    settings: &HttpClient,
    connect_timeout: Duration,
    redirects: Policy,
    connections: Connections,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .redirect(if settings.follow_redirects { redirects } else { Policy::none() });
    if connections == Connections::Fresh {
        builder = builder.pool_max_idle_per_host(0);
    }
    if !settings.enable_http2 {
        builder = builder.http1_only();
    }
    builder = match (&settings.proxy_url, settings.proxy_from_environment) {
        (Some(url), _) => {
            let without = settings.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
            builder.no_proxy().proxy(reqwest::Proxy::all(url).map_err(ClientError::Build)?.no_proxy(without))
        }
        (None, true) => builder,
        (None, false) => builder.no_proxy(),
    };
    let mut config = tls_config(&settings.tls).await?;
    config.alpn_protocols =
        if settings.enable_http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    builder = builder.tls_backend_preconfigured(config);
    builder.build().map_err(ClientError::Build)
}

/// A client that is built when it is first asked for, and anew when a file with a certificate or a key has changed.
pub struct Kept {
    settings: HttpClient,
    connect_timeout: Duration,
    connections: Connections,
    built: RwLock<Option<Built>>,
}

struct Built {
    client: reqwest::Client,
    stamps: Vec<Stamp>,
    /// Files that no client could be built from.
    refused: Option<Vec<Stamp>>,
}

/// Tells one content of a file from the next: its number, its length, and when it was changed. None: it cannot be looked at.
type Stamp = Option<(u64, u64, i64, i64)>;

impl Kept {
    pub fn new(settings: HttpClient, connect_timeout: Duration) -> Kept {
        Kept { settings, connect_timeout, connections: Connections::Kept, built: RwLock::new(None) }
    }

    /// Returns a client that tries what users do: it opens a connection for each request, and no redirect leads it to another host.
    pub fn for_probes(settings: HttpClient, connect_timeout: Duration) -> Kept {
        Kept { connections: Connections::Fresh, ..Kept::new(settings, connect_timeout) }
    }

    /// Returns a client that posts what must arrive, as `build_for_posts` does.
    pub fn for_posts(settings: HttpClient, connect_timeout: Duration) -> Kept {
        Kept { connections: Connections::Posting, ..Kept::new(settings, connect_timeout) }
    }

    /// Returns whether the client is built from these settings.
    pub fn is_of(&self, settings: &HttpClient) -> bool {
        self.settings == *settings
    }

    /// Returns the client. While changed files make none, such as a certificate whose key is still to come, the one before stays.
    pub async fn get(&self) -> Result<reqwest::Client, ClientError> {
        let stamps = stamps(&self.settings.tls).await;
        if let Some(client) = self.built.read().await.as_ref().and_then(|built| built.fit_for(&stamps)) {
            return Ok(client);
        }
        let mut built = self.built.write().await;
        // Another may have built it meanwhile.
        if let Some(client) = built.as_ref().and_then(|built| built.fit_for(&stamps)) {
            return Ok(client);
        }
        let anew = match self.connections {
            Connections::Kept => build(&self.settings, self.connect_timeout).await,
            Connections::Posting => build_for_posts(&self.settings, self.connect_timeout).await,
            Connections::Fresh => build_for_probes(&self.settings, self.connect_timeout).await,
        };
        match (anew, &mut *built) {
            (Ok(client), built) => {
                *built = Some(Built { client: client.clone(), stamps, refused: None });
                Ok(client)
            }
            (Err(error), Some(built)) => {
                tracing::warn!(%error, "changed files make no client; the one before stays");
                built.refused = Some(stamps);
                Ok(built.client.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Built {
    fn fit_for(&self, stamps: &Vec<Stamp>) -> Option<reqwest::Client> {
        (self.stamps == *stamps || self.refused.as_ref() == Some(stamps)).then(|| self.client.clone())
    }
}

async fn stamps(tls: &Tls) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for secret in [&tls.ca, &tls.cert, &tls.key].into_iter().flatten() {
        if let Secret::File(path) = secret {
            let found = tokio::fs::metadata(path).await.ok();
            stamps.push(found.map(|found| (found.ino(), found.len(), found.mtime(), found.mtime_nsec())));
        }
    }
    stamps
}

/// Returns the authorities that this machine trusts, read once; none where it has no list of them.
async fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::warn!(faults = ?found.errors, "this machine has no list of certificate authorities");
        }
        Arc::new(roots)
    };
    ROOTS
        .get_or_init(|| async { tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Arc::new(RootCertStore::empty())) })
        .await
        .clone()
}

/// Adds the authorisation and the headers of the settings to a request.
pub async fn authorise(mut request: RequestBuilder, settings: &HttpClient) -> Result<RequestBuilder, ClientError> {
    match &settings.auth {
        Auth::None => {}
        Auth::Basic { username, password } => {
            let password = match password {
                Some(password) => Some(reveal(password).await?),
                None => None,
            };
            request = request.basic_auth(reveal(username).await?, password);
        }
        Auth::Authorization { scheme, credentials } => {
            request =
                request.header("authorization", sensitive("authorization", &format!("{scheme} {}", reveal(credentials).await?))?);
        }
    }
    for (name, values) in &settings.headers {
        for value in values {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| ClientError::Header { name: name.clone() })?;
            request = request.header(header, sensitive(name, &reveal(value).await?)?);
        }
    }
    Ok(request)
}

fn sensitive(name: &str, value: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(value).map_err(|_| ClientError::Header { name: name.to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn tls_config(settings: &Tls) -> Result<ClientConfig, ClientError> {
    let fault = |what: &'static str| move |error: &dyn std::fmt::Display| ClientError::Tls { what, reason: error.to_string() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &settings.ca {
        Some(ca) => {
            let mut roots = RootCertStore::empty();
            for cert in CertificateDer::pem_slice_iter(reveal(ca).await?.as_bytes()) {
                roots.add(cert.map_err(|error| fault("ca")(&error))?).map_err(|error| fault("ca")(&error))?;
            }
            if roots.is_empty() {
                return Err(fault("ca")(&"it holds no certificate in PEM form"));
            }
            Arc::new(roots)
        }
        None => system_roots().await,
    };
    let verifier: Arc<dyn ServerCertVerifier> = if settings.insecure_skip_verify {
        Arc::new(Verifier { provider: provider.clone(), judgement: Judgement::Everyone })
    } else if roots.is_empty() {
        // Plain HTTP needs no authority, so that this is no reason to have no client.
        Arc::new(Verifier { provider: provider.clone(), judgement: Judgement::Nobody })
    } else {
        let inner =
            WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build().map_err(|error| fault("ca")(&error))?;
        match &settings.server_name {
            Some(name) => {
                let name = ServerName::try_from(name.clone()).map_err(|error| fault("server_name")(&error))?;
                Arc::new(Verifier { provider: provider.clone(), judgement: Judgement::Named { inner, name } })
            }
            None => inner,
        }
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| fault("versions")(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match (&settings.cert, &settings.key) {
        (Some(cert), Some(key)) => {
            let certs = CertificateDer::pem_slice_iter(reveal(cert).await?.as_bytes())
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| fault("cert")(&error))?;
            let key = PrivateKeyDer::from_pem_slice(reveal(key).await?.as_bytes()).map_err(|error| fault("key")(&error))?;
            builder.with_client_auth_cert(certs, key).map_err(|error| fault("cert")(&error))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(_), None) | (None, Some(_)) => Err(fault("cert")(&"certificate and key belong together")),
    }
}

/// Judges certificates otherwise than by an authority and the address. Signatures are verified as ever.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    judgement: Judgement,
}

#[derive(Debug)]
enum Judgement {
    /// By an authority and a configured name, in place of the address's.
    Named { inner: Arc<WebPkiServerVerifier>, name: ServerName<'static> },
    /// Every certificate is good, because `insecure_skip_verify` asks for it.
    Everyone,
    /// None is, because no authority is known.
    Nobody,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.judgement {
            Judgement::Named { inner, name } => inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now),
            Judgement::Everyone => Ok(ServerCertVerified::assertion()),
            Judgement::Nobody => {
                Err(rustls::Error::General("this machine has no list of certificate authorities; name one in ca_file".to_owned()))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
