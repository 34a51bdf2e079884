//! Answers of servers: bodies within a limit, and errors in one line.

use futures_util::StreamExt;

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the answer breaks off")]
    Transport(#[source] reqwest::Error),
}

/// Reads the body of an answer, of at most so many bytes.
pub async fn body(response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(BodyError::Transport)?;
        if body.len() + piece.len() > bytes_max {
            return Err(BodyError::TooLarge(bytes_max));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Writes an error with its causes in one line, since the outermost one of a transport says little.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}
