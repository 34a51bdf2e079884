//! A real PostgreSQL server of our own: in a temporary folder, on a socket there, stopped when the test lets go of it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tocsin::clock::Stopwatch;

/// How long a server may take to answer for the first time.
const START_MAX: Duration = Duration::from_secs(60);
const STOP_MAX: Duration = Duration::from_secs(10);

const REMEDY: &str = "PostgreSQL is not installed; `make setup` installs it";

pub struct Postgres {
    programs: PathBuf,
    server: Child,
    folder: TempDir,
}

/// Returns the folder with the newest server's programs.
fn programs() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            let programs = path.join("bin");
            programs.join("postgres").exists().then_some((version, programs))
        })
        .collect();
    found.sort();
    if let Some((_, programs)) = found.pop() {
        return programs;
    }
    let on_path = Command::new("sh").args(["-c", "command -v initdb"]).output().expect("a shell");
    let path = PathBuf::from(String::from_utf8_lossy(&on_path.stdout).trim());
    path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned)).expect(REMEDY)
}

/// Returns an account without rights, by number: the server refuses to be root.
fn nobody() -> (u32, u32) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |wanted: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(wanted))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("an account postgres or nobody")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Returns a command that does not run as root, and that ends with the thread that starts it.
fn unprivileged(program: PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    // QUIT tells the server to stop at once.
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        let (user, group) = nobody();
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
    }
    command.arg(program).stdin(Stdio::null());
    command
}

impl Postgres {
    /// Makes and starts a server; panics with the remedy when none is installed.
    pub fn start() -> Postgres {
        let programs = programs();
        let folder = TempDir::with_prefix("tocsin-postgres-").expect("a temporary folder");
        if is_root() {
            let (user, group) = nobody();
            chown(folder.path(), Some(user), Some(group)).expect("the folder is ours to give away");
        }
        let data = folder.path().join("data");
        let made = unprivileged(programs.join("initdb"))
            .args(["--auth=trust", "--username=tocsin", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        Postgres::launch(programs, folder)
    }

    /// Starts the server of a folder.
    fn launch(programs: PathBuf, folder: TempDir) -> Postgres {
        let log = fs::File::create(folder.path().join("log")).expect("a log file");
        let server = unprivileged(programs.join("postgres"))
            // What a crash of the machine would do is not under test, so nothing needs to reach the disk.
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=40"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .arg("-D")
            .arg(folder.path().join("data"))
            .current_dir(folder.path())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("postgres starts");
        let mut postgres = Postgres { programs, server, folder };
        postgres.wait_until_ready();
        postgres
    }

    fn wait_until_ready(&mut self) {
        let watch = Stopwatch::start();
        loop {
            let answer = Command::new(self.programs.join("pg_isready"))
                .arg("-h")
                .arg(self.folder.path())
                .output()
                .expect("pg_isready starts");
            if answer.status.success() {
                return;
            }
            let ended = self.server.try_wait().expect("a child of ours");
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "PostgreSQL ended: {}", log());
            assert!(watch.elapsed() < START_MAX, "PostgreSQL does not answer: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Copies the running server into a new folder; returns what the copy may be used from.
    fn copy(&self, name: &str, more: &[&str]) -> TempDir {
        let folder = TempDir::with_prefix(name).expect("a temporary folder");
        if is_root() {
            let (user, group) = nobody();
            chown(folder.path(), Some(user), Some(group)).expect("the folder is ours to give away");
        }
        let copied = unprivileged(self.programs.join("pg_basebackup"))
            .args(["-U", "tocsin", "--checkpoint=fast", "--no-sync", "-h"])
            .arg(self.folder.path())
            .arg("-D")
            .arg(folder.path().join("data"))
            .args(more)
            .current_dir(folder.path())
            .output()
            .expect("pg_basebackup starts");
        assert!(copied.status.success(), "pg_basebackup failed: {}", String::from_utf8_lossy(&copied.stderr));
        folder
    }

    /// Starts a standby that follows this server.
    pub fn standby(&self) -> Postgres {
        Postgres::launch(self.programs.clone(), self.copy("tocsin-standby-", &["-R", "-X", "stream"]))
    }

    /// Makes a base backup without WAL; it lies in `data` of the folder.
    pub fn backup(&self) -> TempDir {
        self.copy("tocsin-backup-", &["-X", "none"])
    }

    /// Copies all WAL that there is, as an archive has it.
    pub fn archive(&self) -> TempDir {
        let folder = TempDir::with_prefix("tocsin-archive-").expect("a temporary folder");
        for entry in fs::read_dir(self.folder.path().join("data/pg_wal")).expect("a folder of WAL").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("WAL can be copied");
            }
        }
        folder
    }

    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Returns the address of a database, which need not exist.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://tocsin@localhost/{name}?host={}", self.folder.path().display())
    }

    /// Returns the folder with the server's data, beside its log.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the server at once and for good, as a loss of its machine would.
    pub fn lose(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }

    /// Returns the socket that the server listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(".s.PGSQL.5432")
    }

    /// Makes an empty database; returns its URL.
    pub fn database(&self, name: &str) -> String {
        let made = Command::new(self.programs.join("createdb"))
            .arg("-h")
            .arg(self.folder.path())
            .args(["-U", "tocsin", name])
            .output()
            .expect("createdb starts");
        assert!(made.status.success(), "createdb failed: {}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let watch = Stopwatch::start();
        while watch.elapsed() < STOP_MAX {
            if !matches!(self.server.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
