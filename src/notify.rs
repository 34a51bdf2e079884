//! Sending: mail, and whatever goes by HTTP, whose requests core has made. A send that fails is an outcome, not an error; the outbox
//! decides when to try again.

pub mod email;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::header;
use tocsin_core::aws::Identity;
use tocsin_core::client::HttpClient;
use tocsin_core::plane::Delivery;
use tocsin_core::route::message::{Answer, Body, Method, Piece, Posted, Request, Signing, Words};
use tocsin_core::route::receiver::{Integration, Way};
use tocsin_core::route::retry::{Class, MENDING_WAIT, wish};
use tocsin_core::route::templates::Templates;
use tocsin_core::time::Span;

use crate::aws::{AwsError, Speaker, Unsigned};
use crate::client::answer::with_causes;
use crate::client::{self, ClientError};
use crate::clock;

/// How one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it; what it said.
    Delivered(String),
    /// Worth another try; not before `after`, where the provider named a wait.
    Retry { reason: String, after: Option<Span> },
    /// Another try would end the same.
    Rejected(String),
    /// Somebody has it, and for the others another try would end the same.
    Partly(String),
}

impl Outcome {
    /// Worth another try after somebody had the time to mend something.
    fn mendable(reason: impl Into<String>) -> Outcome {
        Outcome::Retry { reason: reason.into(), after: Some(MENDING_WAIT) }
    }

    /// Adds to what is told of an attempt.
    fn with_note(self, note: Option<String>) -> Outcome {
        let Some(note) = note else { return self };
        let noted = |said: String| format!("{said}; {note}");
        match self {
            Outcome::Delivered(said) => Outcome::Delivered(noted(said)),
            Outcome::Retry { reason, after } => Outcome::Retry { reason: noted(reason), after },
            Outcome::Rejected(reason) => Outcome::Rejected(noted(reason)),
            Outcome::Partly(reason) => Outcome::Partly(noted(reason)),
        }
    }
}

/// No single attempt takes longer than this.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The status of an answer decides; what else it says is waited for no longer than this, and not beyond the attempt's time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Of an answer no more than this is read, and less is kept.
const ANSWER_BYTES_MAX: usize = 64 << 10;
const ANSWER_CHARS_SHOWN: usize = 300;
/// Identities of earlier configurations are forgotten beyond this many.
const SIGNERS_MAX: usize = 64;
/// Shorter secrets are not looked for in answers: they would be found everywhere.
const SECRET_BYTES_MIN: usize = 6;

/// Sends deliveries; keeps connections between them.
#[derive(Default)]
pub struct Sender {
    /// One client for each distinct setting, found by its printed form (which shows no secret's value, so secrets that are written
    /// in the configuration share a client; they are added to each request anew).
    clients: Mutex<BTreeMap<String, reqwest::Client>>,
    mails: email::Mails,
    signers: Mutex<Vec<Signer>>,
}

/// One who signs for Amazon Web Services in a region, with the credentials that it keeps.
struct Signer {
    identity: Identity,
    region: String,
    speaker: Arc<tokio::sync::Mutex<Speaker>>,
}

impl Sender {
    async fn http(&self, settings: &HttpClient) -> Result<reqwest::Client, ClientError> {
        let key = format!("{settings:?}");
        // TLS material is read when a client is built; a client with some is built anew, so that a rotated certificate is used.
        let has_material = settings.tls.ca.is_some() || settings.tls.cert.is_some();
        if !has_material && let Some(found) = self.clients.lock().expect("no holder of this lock panics").get(&key) {
            return Ok(found.clone());
        }
        let built = client::build_for_posts(settings, CONNECT_TIMEOUT).await?;
        if !has_material {
            self.clients.lock().expect("no holder of this lock panics").insert(key, built.clone());
        }
        Ok(built)
    }

    /// Makes one attempt at a delivery to an integration.
    ///
    /// The inbox is not sent to from here: it is a table of ours.
    pub async fn send(&self, delivery: &Delivery, integration: &Integration, templates: &Templates) -> Outcome {
        let sending = async {
            match integration.channel.way() {
                Way::Posted(posted) => self.post(delivery, posted, templates).await,
                Way::Mailed(email) => email::send(&self.mails, delivery, email, templates).await,
                Way::Kept => Outcome::Rejected("the inbox takes its messages elsewhere".to_owned()),
                Way::Unserved(kind) => Outcome::Rejected(format!("{kind} is not served by this version")),
            }
        };
        match tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Retry { reason: format!("no answer within {ATTEMPT_TIMEOUT:?}"), after: None },
        }
    }

    /// Makes the requests of a message, up to the first that is not taken.
    async fn post(&self, delivery: &Delivery, posted: &dyn Posted, templates: &Templates) -> Outcome {
        let mut words = Words::new(delivery.message(), templates, clock::now());
        let requests = match posted.requests(&mut words) {
            Ok(requests) => requests,
            Err(reason) => return Outcome::Rejected(reason),
        };
        let mut outcome = Outcome::Delivered(String::new());
        for (index, request) in requests.iter().enumerate() {
            outcome = match self.exchange(request, posted, &mut words).await.unwrap_or_else(|failed| failed) {
                Outcome::Rejected(reason) if index > 0 => Outcome::Partly(reason),
                other => other,
            };
            if !matches!(outcome, Outcome::Delivered(_)) {
                break;
            }
        }
        outcome.with_note(words.note())
    }

    /// Makes one request and reads the verdict off its answer; a plainer one follows where the provider could not read the first.
    async fn exchange(&self, request: &Request<'_>, posted: &dyn Posted, words: &mut Words<'_>) -> Result<Outcome, Outcome> {
        let mut said = self.ask(request).await?;
        let mut verdict = posted.verdict(&said.answer());
        if verdict.class == Class::Rejected
            && let Some(plainer) = posted.plainer(words, &said.answer())
        {
            said = self.ask(&plainer).await?;
            verdict = posted.verdict(&said.answer());
        }
        let shown = said.shown;
        Ok(match verdict.class {
            Class::Delivered => Outcome::Delivered(shown),
            Class::Retry => Outcome::Retry { reason: shown, after: verdict.after },
            Class::Mendable => Outcome::mendable(shown),
            Class::Rejected => Outcome::Rejected(shown),
        })
    }

    /// Makes one request as it stands, with its secrets put in.
    async fn ask(&self, request: &Request<'_>) -> Result<Said, Outcome> {
        let retry = |reason: String| Outcome::Retry { reason, after: None };
        let for_now = |error: ClientError| retry(with_causes(&error));
        let http = self.http(request.client).await.map_err(for_now)?;
        let mut opened = Vec::new();
        let mut url = String::new();
        for piece in &request.url {
            match piece {
                Piece::Text(text) => url.push_str(text),
                Piece::Secret(secret) => {
                    let value = client::reveal(secret).await.map_err(for_now)?;
                    url.push_str(&value);
                    // Many servers name the path that they do not know.
                    opened.extend(value.splitn(4, '/').nth(3).map(str::to_owned));
                    opened.push(value);
                }
            }
        }
        let mut fields = Vec::new();
        for (name, secret) in &request.secrets {
            let value = client::reveal(secret).await.map_err(for_now)?;
            opened.push(value.clone());
            fields.push(((*name).to_owned(), value));
        }
        if let Some(secret) = request.client.auth.secret() {
            opened.push(client::reveal(secret).await.map_err(for_now)?);
        }
        let (kind, body) = written(&request.body, fields);
        let speaker = request.signing.as_ref().map(|signing| (signing, self.speaker(signing)));
        let signed = match &speaker {
            None => header::HeaderMap::new(),
            Some((signing, speaker)) => {
                let headers = vec![(header::CONTENT_TYPE.as_str(), kind.to_owned())];
                let (url, body) = (url.clone(), body.clone().into_bytes());
                let unsigned = Unsigned { action: "Publish", service: signing.service, url, headers, body };
                speaker.lock().await.sign(&unsigned).await.map_err(|error| unsigned_outcome(&error))?
            }
        };
        let post = match request.method {
            Method::Post => http.post(url),
            Method::Put => http.put(url),
        };
        let mut post = post.header(header::CONTENT_TYPE, kind).headers(signed).body(body);
        for (name, value) in &request.headers {
            post = post.header(*name, value);
        }
        // What is left of the attempt's time is for secrets before and the answer after.
        let most = ATTEMPT_TIMEOUT - 2 * ANSWER_TIMEOUT;
        let timeout = if request.timeout > Span::ZERO { request.timeout.to_std().min(most) } else { most };
        let post = client::authorise(post, request.client).await.map_err(for_now)?;
        let answer = match tokio::time::timeout(timeout, post.send()).await {
            Ok(Ok(answer)) => answer,
            // The URL may hold a secret.
            Ok(Err(error)) if error.is_builder() => return Err(Outcome::mendable(with_causes(&error.without_url()))),
            Ok(Err(error)) => return Err(retry(with_causes(&error.without_url()))),
            Err(_) => return Err(retry(format!("no answer within {timeout:?}"))),
        };
        if let Some((_, speaker)) = speaker.filter(|_| answer.status() == reqwest::StatusCode::FORBIDDEN) {
            speaker.lock().await.forget();
        }
        Ok(Said::read(answer, &opened).await)
    }

    fn speaker(&self, signing: &Signing<'_>) -> Arc<tokio::sync::Mutex<Speaker>> {
        let mut signers = self.signers.lock().expect("no holder of this lock panics");
        let is_it = |one: &&Signer| one.identity == *signing.identity && one.region == signing.region;
        if let Some(known) = signers.iter().find(is_it) {
            return known.speaker.clone();
        }
        if signers.len() == SIGNERS_MAX {
            signers.remove(0);
        }
        let (identity, region) = (signing.identity.clone(), signing.region.clone());
        let speaker = Arc::new(tokio::sync::Mutex::new(Speaker::new(identity.clone(), &region)));
        signers.push(Signer { identity, region, speaker: speaker.clone() });
        speaker
    }
}

/// Returns what it means for a delivery that its request cannot be signed.
fn unsigned_outcome(error: &AwsError) -> Outcome {
    let reason = with_causes(error);
    if error.is_about_credentials() { Outcome::mendable(reason) } else { Outcome::Retry { reason, after: None } }
}

/// Returns the type and the text of a body, with its secrets.
fn written(body: &Body, secrets: Vec<(String, String)>) -> (&'static str, String) {
    match body {
        Body::Written(text) => ("application/json", text.clone()),
        Body::Json(value) if secrets.is_empty() => ("application/json", value.to_string()),
        Body::Json(value) => {
            let mut value = value.clone();
            for (name, secret) in secrets {
                value[name] = secret.into();
            }
            ("application/json", value.to_string())
        }
        Body::Form(fields) => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(fields).extend_pairs(&secrets);
            ("application/x-www-form-urlencoded", form.finish())
        }
    }
}

/// An answer.
struct Said {
    status: reqwest::StatusCode,
    retry_after: Option<Span>,
    body: String,
    /// What people may see of it: not the secrets of its request, which some servers repeat.
    shown: String,
}

impl Said {
    async fn read(mut answer: reqwest::Response, secrets: &[String]) -> Said {
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| wish(value.to_str().ok()?, clock::now()));
        let mut bytes = Vec::new();
        let reading = async {
            while let Ok(Some(piece)) = answer.chunk().await {
                bytes.extend_from_slice(&piece);
                if bytes.len() > ANSWER_BYTES_MAX {
                    break;
                }
            }
        };
        // An answer that stalls is only cut short: nearly always its status says all.
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, reading).await;
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let mut open = body.trim().to_owned();
        for secret in secrets.iter().filter(|secret| secret.len() >= SECRET_BYTES_MIN) {
            open = open.replace(secret.as_str(), "<secret>");
        }
        let open: String = open.chars().take(ANSWER_CHARS_SHOWN).collect();
        let shown = format!("HTTP {status}{}{open}", if open.is_empty() { "" } else { ": " });
        Said { status, retry_after, body, shown }
    }

    fn answer(&self) -> Answer<'_> {
        Answer { status: self.status.as_u16(), retry_after: self.retry_after, body: &self.body }
    }
}
