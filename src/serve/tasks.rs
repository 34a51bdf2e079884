//! The tasks without which nobody would be told: when one of them ends, the service ends.

use futures_util::future::select_all;
use tokio::task::{JoinError, JoinHandle};

struct Task {
    name: &'static str,
    handle: JoinHandle<()>,
}

/// Tasks by name.
#[derive(Default)]
pub struct Tasks(Vec<Task>);

impl Tasks {
    pub fn start(&mut self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.0.push(Task { name, handle: tokio::spawn(work) });
    }

    /// Returns, once one of the tasks has ended, its name and how it ended.
    pub async fn first_ended(&mut self) -> (&'static str, Result<(), JoinError>) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let (result, index, _) = select_all(self.0.iter_mut().map(|task| &mut task.handle)).await;
        (self.0.swap_remove(index).name, result)
    }

    /// Returns every task of a name that has not ended.
    pub fn take(&mut self, name: &str) -> Vec<JoinHandle<()>> {
        self.0.extract_if(.., |task| task.name == name).map(|task| task.handle).collect()
    }

    pub fn abort_all_but(&mut self, names: &[&str]) {
        for task in self.0.extract_if(.., |task| !names.contains(&task.name)) {
            task.handle.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_end_is_told_by_name() {
        let mut tasks = Tasks::default();
        tasks.start("one", std::future::pending());
        tasks.start("two", async { panic!("as the test wants it") });
        let (name, result) = tasks.first_ended().await;
        assert_eq!((name, result.is_err()), ("two", true));
        tasks.start("three", std::future::pending());
        tasks.abort_all_but(&["one"]);
        assert_eq!((tasks.take("two").len(), tasks.take("three").len(), tasks.take("one").len()), (0, 0, 1));
    }
}
