//! Stories of runs, told as their users see them: by the API, the command line and the process itself.

mod approvals;
mod commands;
mod control;
mod crash;
mod far;
mod guards;
mod room;
mod secrets;
mod studies;
mod taint;
mod triggers;
mod verify;
