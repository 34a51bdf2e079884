//! Microsoft Teams, by a webhook of its workflows: one adaptive card a message.

use serde_json::{Value, json};

use crate::client::{HttpClient, Secret};

use super::super::notification::Status;
use super::super::retry::class;
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, cut, marks};

/// Source: Microsoft's "Create an Incoming Webhook": a message has at most 28 KB.
const MESSAGE_BYTES_MAX: usize = 28 << 10;
const TITLE_CHARS_MAX: usize = 1024;
/// How a connector begins to tell, under 200, which answer it had itself.
const HIDDEN_STATUS: &str = "returned HTTP error ";

#[derive(Clone, Debug, PartialEq)]
pub struct MsTeams {
    pub url: Secret,
    pub client: HttpClient,
    pub title: String,
    pub text: String,
}

fn card(title: &str, text: &str, status: Status) -> Value {
    let color = match status {
        Status::Firing => "Attention",
        Status::Resolved => "Good",
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    {
                        "type": "TextBlock", "text": title, "weight": "Bolder", "size": "Medium", "wrap": true,
                        "style": "heading", "color": color,
                    },
                    { "type": "TextBlock", "text": text, "wrap": true },
                ],
                "msteams": { "width": "full" },
            },
        }],
    })
}

impl Posted for MsTeams {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let title = cut(&words.or_title("title", &self.title, marks::markdown), TITLE_CHARS_MAX, Unit::Chars);
        let text = words.text("text", &self.text);
        let status = words.message.data.status;
        let mut most = MESSAGE_BYTES_MAX;
        // JSON writes some characters with more bytes than they have, so that the text's share of the limit is found by trying.
        let body = loop {
            let body = card(&title, &words.noted(&text, most, Unit::Bytes, marks::markdown), status);
            let bytes = body.to_string().len();
            if bytes <= MESSAGE_BYTES_MAX || most == 0 {
                break body;
            }
            most = most.min(text.len()).saturating_sub(bytes - MESSAGE_BYTES_MAX);
        };
        Ok(vec![Request::post(vec![Piece::Secret(&self.url)], Body::Json(body), &self.client)])
    }

    /// A connector takes everything with 200 and hides there that it could not pass it on.
    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let hidden = answer.body.split_once(HIDDEN_STATUS).and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        match hidden {
            Some(status) if (200..300).contains(&answer.status) => answer.as_class(class(status)),
            _ => answer.by_status(),
        }
    }
}
