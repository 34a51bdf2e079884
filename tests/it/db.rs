//! One contract of the state, held against SQLite and against PostgreSQL.

mod absence;
mod accounts;
mod objectives;
mod outbox;
mod records;
mod rows;
mod run_facts;
mod run_lists;
mod runs;
mod schema;
mod trace;

use std::future::Future;
use std::path::PathBuf;

use tempfile::TempDir;
use tocsin::db::Db;
use tocsin_core::time::Timestamp;

use crate::postgres::Postgres;

/// A database that can be opened more than once.
pub enum Place {
    File(PathBuf),
    Url(String),
}

impl Place {
    pub async fn open(&self) -> Db {
        match self {
            Place::File(path) => Db::open_sqlite(path).await,
            Place::Url(url) => Db::open_postgres(url).await,
        }
        .unwrap_or_else(|error| panic!("cannot open: {error:?}"))
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1000)
}

/// Holds every clause of the contract against an empty database of its own each.
async fn hold(mut place: impl FnMut(&str) -> Place) {
    async fn clause<F: Future<Output = ()>>(place: Place, check: impl FnOnce(Place) -> F) {
        check(place).await;
    }
    macro_rules! clauses {
        ($($room:ident: $($name:ident),+;)+) => {$($(
            println!("{}", stringify!($name));
            clause(place(stringify!($name)), $room::$name).await;
        )+)+};
    }
    clauses! {
        schema: opening_twice_changes_nothing, a_newer_database_is_refused, a_transaction_happens_whole_or_not_at_all,
            null_and_unicode_come_back_as_they_went, concurrent_writers_all_get_through,
            a_database_of_the_version_before_is_brought_forward;
        accounts: names_are_unique, a_change_ends_the_logins_of_that_person, a_login_ends_by_time_by_word_and_by_disabling,
            a_token_opens_until_it_is_revoked,
            a_token_ends_by_time_and_with_the_rights_of_its_maker, what_is_done_and_its_line_in_the_audit_are_one_step,
            a_person_changes_their_own_password, the_audit_is_read_newest_first, audit_lines_of_many_callers_all_land,
            the_lines_of_the_audit_are_linked;
        outbox: a_delivery_comes_back_as_it_went, the_same_key_is_taken_once, a_lane_offers_its_first_pending_delivery,
            an_attempt_is_recorded_once_and_never_revives, attempts_that_end_together_are_all_recorded,
            an_expired_delivery_frees_its_lane, what_is_lost_is_known_until_it_is_settled, filters_choose_deliveries,
            counts_are_of_pending_ones_and_of_recent_ones, the_inbox_takes_a_message_once, a_value_that_no_column_takes_holds_up_nothing;
        records: documents_are_put_replaced_and_removed, instances_belong_to_their_rule, pages_are_listed_newest_first,
            an_alerts_history_is_read_newest_first, the_sign_of_life_is_the_last_one, the_sweep_takes_what_ended_and_is_old,
            a_start_reads_every_open_page_and_the_newest_others, a_sweep_goes_in_steps_until_nothing_is_left,
            a_key_may_be_longer_than_an_index_takes;
        runs: a_run_comes_back_as_it_went, every_word_of_a_run_comes_back, a_batch_needs_the_fence, of_two_who_take_a_run_one_wins,
            a_trigger_brings_one_run_of_a_document, a_lock_has_one_holder, notes_are_one_step_with_what_they_tell_of;
        run_lists: a_start_finds_every_run_with_something_under_way, runs_are_listed_newest_first, runs_are_counted,
            what_belongs_to_many_runs_is_read_at_once, versions_of_a_document_are_kept, old_runs_go_with_all_that_belongs_to_them;
        run_facts: the_history_of_a_document_is_oldest_first, rates_are_counted_by_their_keys, what_a_schedule_decided_stays_decided,
            a_kill_switch_is_pulled_and_released, a_freeze_lasts_until_its_end, writes_of_drills_are_kept_by_their_tag;
        objectives: counts_come_back_as_they_went, a_ledger_goes_on_from_its_rows,
            counts_are_forgotten_by_age_by_definition_and_whole;
        trace: what_was_decided_is_found_by_alert_and_by_group, of_what_is_too_much_to_read_the_newest_is_read, the_trace_stays_within_its_age_and_its_size;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let folder = TempDir::new().expect("a temporary folder");
    hold(|name| Place::File(folder.path().join(name))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_contract() {
    let server = Postgres::start();
    hold(|name| Place::Url(server.database(name))).await;
}
