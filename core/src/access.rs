//! Who may do what.

pub mod attempts;
pub mod chain;

use serde::{Deserialize, Serialize};

/// What a person or a token is trusted with.
///
/// Shape: viewer < responder < operator < sre-lead, each holding what the one before holds; author, auditor and writer stand beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads everything but accounts and the audit.
    Viewer,
    /// Acknowledges pages and mutes alerts.
    Responder,
    /// Causes disruption on purpose: faults of the demo platform, experiments.
    Operator,
    /// Approves, reloads, manages accounts and tokens.
    SreLead,
    /// Edits documents; reads what a viewer reads.
    Author,
    /// Reads everything, the audit included.
    Auditor,
    /// Hands samples and alerts to us, and reads nothing: for other servers.
    Writer,
}

/// One kind of thing that a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    Read,
    Acknowledge,
    Silence,
    /// Hand alerts to us as a rule engine does.
    SendAlerts,
    /// Hand samples to us as another Prometheus does.
    WriteSamples,
    /// Start runs of what their class admits, vote, and do what runs ask of people.
    Run,
    Disrupt,
    Reload,
    ManageAccounts,
    ReadAudit,
    /// Delete stored samples, and copy all that is stored.
    ManageSamples,
}

impl Permission {
    pub const ALL: [Permission; 11] = [
        Permission::Read,
        Permission::Acknowledge,
        Permission::Silence,
        Permission::SendAlerts,
        Permission::WriteSamples,
        Permission::Run,
        Permission::Disrupt,
        Permission::Reload,
        Permission::ManageAccounts,
        Permission::ReadAudit,
        Permission::ManageSamples,
    ];
}

impl Role {
    pub const ALL: [Role; 7] =
        [Role::Viewer, Role::Responder, Role::Operator, Role::SreLead, Role::Author, Role::Auditor, Role::Writer];

    /// Returns the word that requests, tables and pages use.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Responder => "responder",
            Role::Operator => "operator",
            Role::SreLead => "sre-lead",
            Role::Author => "author",
            Role::Auditor => "auditor",
            Role::Writer => "writer",
        }
    }

    pub fn parse(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.word() == word)
    }

    /// Returns whether everything that this role may do, the other one may do too.
    pub fn is_within(self, other: Role) -> bool {
        Permission::ALL.iter().all(|permission| other.may(*permission) || !self.may(*permission))
    }

    pub fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => self != Role::Writer,
            Permission::SendAlerts | Permission::WriteSamples => {
                matches!(self, Role::Responder | Role::Operator | Role::SreLead | Role::Writer)
            }
            Permission::Acknowledge | Permission::Silence | Permission::Run => {
                matches!(self, Role::Responder | Role::Operator | Role::SreLead)
            }
            Permission::Disrupt => matches!(self, Role::Operator | Role::SreLead),
            Permission::Reload | Permission::ManageAccounts | Permission::ManageSamples => matches!(self, Role::SreLead),
            Permission::ReadAudit => matches!(self, Role::SreLead | Role::Auditor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_ranks_hold() {
        for role in Role::ALL {
            assert_eq!(Role::parse(role.word()), Some(role));
            assert_eq!(role.may(Permission::Read), role != Role::Writer);
        }
        assert!(!Role::Viewer.may(Permission::Acknowledge) && Role::Responder.may(Permission::Acknowledge));
        assert!(!Role::Responder.may(Permission::Disrupt) && !Role::Operator.may(Permission::ManageAccounts));
        assert!(Role::Auditor.may(Permission::ReadAudit) && !Role::Auditor.may(Permission::Silence));
        assert!(!Role::Author.may(Permission::Acknowledge));
        for role in Role::ALL {
            assert!(role.is_within(role) && role.is_within(Role::SreLead));
            assert!(Role::Viewer.is_within(role) || role == Role::Writer);
        }
        assert!(Role::Responder.is_within(Role::Operator) && !Role::Operator.is_within(Role::Responder));
        assert!(Role::Writer.is_within(Role::Responder) && !Role::Writer.is_within(Role::Auditor));
        assert!(!Role::Auditor.is_within(Role::Operator) && Role::Author.is_within(Role::Viewer));
    }
}
