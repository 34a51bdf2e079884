//! Versions of documents, by their content.

use tocsin_core::run::record::DocumentVersion;

use super::rows::{VERSION, insert_version, version_row};
use crate::db::{Db, DbError};

impl Db {
    /// Keeps a version of a document; one that is there stays as it is, with whoever wrote it first.
    pub async fn put_version(&self, version: &DocumentVersion) -> Result<(), DbError> {
        self.apply(&[insert_version(version)]).await.map(drop)
    }

    pub async fn document_version(&self, hash: &str) -> Result<Option<DocumentVersion>, DbError> {
        let sql = format!("SELECT {VERSION} FROM document_version WHERE hash = $1");
        self.rows("document_version", sql, [hash.into()]).await?.first().map(version_row).transpose()
    }

    /// Returns the version of a document that was kept first.
    pub async fn first_version(&self, doc_id: &str) -> Result<Option<DocumentVersion>, DbError> {
        let sql = format!("SELECT {VERSION} FROM document_version WHERE doc_id = $1 ORDER BY created_at_ms, hash LIMIT 1");
        self.rows("document_version", sql, [doc_id.into()]).await?.first().map(version_row).transpose()
    }
}
