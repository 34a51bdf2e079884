//! HTTP clients made from settings, and secrets read at the last moment.

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
    build_with(settings, connect_timeout, Policy::limited(REDIRECTS_MAX)).await
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
    build_with(settings, connect_timeout, policy).await
}

async fn build_with(settings: &HttpClient, connect_timeout: Duration, redirects: Policy) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(connect_timeout)
        .redirect(if settings.follow_redirects { redirects } else { Policy::none() });
    if !settings.enable_http2 {
        builder = builder.http1_only();
    }
    builder = match (&settings.proxy_url, settings.proxy_from_environment) {
        (Some(url), _) => builder.no_proxy().proxy(reqwest::Proxy::all(url).map_err(ClientError::Build)?),
        (None, true) => builder,
        (None, false) => builder.no_proxy(),
    };
    if settings.tls != Tls::default() {
        let mut config = tls_config(&settings.tls).await?;
        config.alpn_protocols =
            if settings.enable_http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
        builder = builder.tls_backend_preconfigured(config);
    }
    builder.build().map_err(ClientError::Build)
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
    let mut roots = RootCertStore::empty();
    match &settings.ca {
        Some(ca) => {
            for cert in CertificateDer::pem_slice_iter(reveal(ca).await?.as_bytes()) {
                roots.add(cert.map_err(|error| fault("ca")(&error))?).map_err(|error| fault("ca")(&error))?;
            }
            if roots.is_empty() {
                return Err(fault("ca")(&"it holds no certificate in PEM form"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let verifier: Arc<dyn ServerCertVerifier> = if settings.insecure_skip_verify {
        Arc::new(TrustAnyone { provider: provider.clone() })
    } else {
        // A store without any authority builds no verifier: then nobody is trusted, which is what was asked for.
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| fault("ca")(&error))?;
        match &settings.server_name {
            Some(name) => Arc::new(VerifyName {
                inner,
                name: ServerName::try_from(name.clone()).map_err(|error| fault("server_name")(&error))?,
            }),
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

/// Checks a certificate against a configured name in place of the address's.
#[derive(Debug)]
struct VerifyName {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for VerifyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(end_entity, intermediates, &self.name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Trusts every certificate, because `insecure_skip_verify` asks for it.
#[derive(Debug)]
struct TrustAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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
