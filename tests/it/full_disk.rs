//! A disk that is full: alerts go on from memory, people are told, and writing resumes by itself once there is room.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::harness::scene::{Scene, Script};
use crate::harness::{soon, within};

/// Room enough for a database with its ballast, and soon full.
const DISK: &str = "size=32m";
/// The disk is looked at once a minute.
const RESUME_MAX: Duration = Duration::from_secs(150);

/// Takes all the room that there is.
fn fill(path: &Path) {
    let (mut file, piece) = (File::create(path).expect("there is room for a name"), vec![0x5a; 64 << 10]);
    let mut len = piece.len();
    while len > 0 {
        match file.write(&piece[..len]) {
            Ok(1..) => {}
            // Where a big piece has no room, a smaller one may have.
            Ok(0) | Err(_) => len /= 2,
        }
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("it can be listed") {
        let entry = entry.expect("it can be listed");
        let kind = entry.file_type().expect("it has a kind");
        if kind.is_dir() {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_no_page_and_writing_resumes_by_itself() {
    let mut scene = Scene::prepare(Script::default()).await;
    let data = scene.service.path("data");
    fs::create_dir_all(&data).expect("a folder");
    // A disk of its own in a namespace of its own: nobody else sees it, and it is gone with the process.
    let mount = format!("mount -t tmpfs -o {DISK} tmpfs '{}' && exec \"$0\" \"$@\"", data.display());
    scene.service.launch_through(&["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &mount], &[]);
    scene.service.wait_until_ready().await;
    let inside = |path: &Path| {
        let own = path.strip_prefix("/").expect("the path is whole");
        PathBuf::from(format!("/proc/{}/root", scene.service.process_id())).join(own)
    };
    soon("it scrapes", async || scene.service.value("shop_up").await).await;
    let before = scene.service.value("count_over_time(shop_up[1h])").await.expect("there are samples");

    let filler = inside(&data.join("filler"));
    fill(&filler);
    soon("people are told that nothing is saved", async || {
        let incidents = scene.pagerduty.incidents();
        incidents.iter().any(|own| own.summary.contains("TocsinSamplesUnsaved") && own.state == "triggered").then_some(())
    })
    .await;
    scene.break_shop();
    soon("the shop's alert is told all the same", async || {
        let incidents = scene.pagerduty.incidents();
        incidents.iter().any(|own| own.summary.contains("ShopDown") && own.state == "triggered").then_some(())
    })
    .await;
    let meanwhile = scene.service.value("count_over_time(shop_up[1h])").await.expect("there are samples");
    assert!(meanwhile > before, "{before} samples became {meanwhile}: scraping goes on");

    fs::remove_file(&filler).expect("it can be removed");
    within(RESUME_MAX, "writing resumes, and people are told", async || {
        let incidents = scene.pagerduty.incidents();
        incidents.iter().any(|own| own.summary.contains("TocsinSamplesUnsaved") && own.state == "resolved").then_some(())
    })
    .await;
    scene.mend_shop();
    soon("the shop is up again", async || {
        let incidents = scene.pagerduty.incidents();
        incidents.iter().any(|own| own.summary.contains("ShopDown") && own.state == "resolved").then_some(())
    })
    .await;

    // What stands on the disk now, as after a loss of power, has all that memory had.
    let seen = scene.service.value("count_over_time(shop_up[1h])").await.expect("there are samples");
    scene.service.signal("STOP").await;
    let copy = scene.service.path("copy");
    copy_tree(&inside(&data), &copy);
    scene.service.kill().await;
    fs::remove_dir_all(&data).expect("the place of the disk");
    fs::rename(&copy, &data).expect("the copy takes its place");
    scene.service.restart().await;
    let kept = scene.service.value("count_over_time(shop_up[1h])").await.expect("there are samples");
    assert!(kept >= seen, "{seen} samples were seen, and {kept} are on the disk");
    scene.pagerduty.assert_no_faults();
}
