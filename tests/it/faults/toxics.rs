//! What each toxic does to connections, measured from outside.

use std::io::ErrorKind;
use std::time::Duration;

use tocsin::act::fault::FaultError;
use tocsin::clock::Stopwatch;
use tocsin_core::run::lever::{Direction, Toxic, ToxicKind};
use tocsin_core::time::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::peers::{Client, LONG, NAME, Stage, ms, within};
use crate::harness::soon;

const DIRECTIONS: [Direction; 3] = [Direction::Upstream, Direction::Downstream, Direction::Both];

fn latency(delay: i64) -> ToxicKind {
    ToxicKind::Latency { delay: Span(delay), jitter: Span::ZERO }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_holds_bytes_up_in_its_direction_and_running_connections_feel_it() {
    let stage = Stage::set().await;
    let mut client = stage.client().await;
    client.echo(b"before").await.expect("an echo");
    for direction in DIRECTIONS {
        stage.apply("t", Toxic { direction, ..Toxic::new(latency(150)) }).await;
        let least = if direction == Direction::Both { 300 } else { 150 };
        for connection in [&mut client, &mut stage.client().await] {
            let took = connection.echo(b"held up").await.expect("an echo");
            assert!(took >= ms(least) && took < ms(least + 2_000), "{direction:?}: {took:?}");
        }
        assert_eq!(stage.felt().await, 2);
        stage.heal().await;
        let took = client.echo(b"healed").await.expect("an echo");
        assert!(took < ms(150), "{took:?}");
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jitter_comes_on_top_of_the_delay() {
    let stage = Stage::set().await;
    stage.harm(ToxicKind::Latency { delay: Span(20), jitter: Span(60) }).await;
    let mut client = stage.client().await;
    let mut took = Vec::new();
    for _ in 0..20 {
        took.push(client.echo(b"x").await.expect("an echo"));
    }
    let (least, most) = (*took.iter().min().expect("some"), *took.iter().max().expect("some"));
    assert!(least >= ms(40), "{took:?}");
    assert!(most - least >= ms(20), "forty dice that fall alike: {took:?}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bandwidth_is_never_more_than_asked_for() {
    let stage = Stage::set().await;
    let bytes = vec![7; 60_000];
    for direction in DIRECTIONS {
        stage.apply("t", Toxic { direction, ..Toxic::new(ToxicKind::Bandwidth { bytes_per_second: 50_000 }) }).await;
        let took = stage.client().await.echo(&bytes).await.expect("an echo");
        // A little may be caught up: two pieces of 20 ms.
        assert!(took >= ms(1_150) && took < ms(6_000), "{direction:?}: {took:?}");
        let proof = stage.faults.proof(NAME, "t").await.expect("a proof");
        let ways = if direction == Direction::Both { 2 } else { 1 };
        assert_eq!((proof.active, proof.connections, proof.bytes), (true, 1, ways * 60_000));
    }
    stage.heal().await;
    let took = stage.client().await.echo(&bytes).await.expect("an echo");
    assert!(took < ms(1_000), "{took:?}");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_line_holds_its_sender_back() {
    let stage = Stage::set().await;
    stage.harm(ToxicKind::Bandwidth { bytes_per_second: 1_000 }).await;
    let mut client = stage.client().await;
    let piece = vec![0; 64 * 1024];
    let mut sent = 0;
    while let Ok(wrote) = tokio::time::timeout(ms(500), client.stream.write(&piece)).await {
        sent += wrote.expect("the connection holds");
        assert!(sent < 64 * 1024 * 1024, "the proxy takes everything");
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blackhole_is_silent_and_what_it_swallowed_from_must_connect_anew() {
    let stage = Stage::set().await;
    for direction in DIRECTIONS {
        let (mut hit, mut idle) = (stage.client().await, stage.client().await);
        for client in [&mut hit, &mut idle] {
            client.echo(b"before").await.expect("an echo");
        }
        let reached = stage.echo.accepted();
        stage.apply("t", Toxic { direction, ..Toxic::new(ToxicKind::Blackhole) }).await;
        let mut fresh = stage.client().await;
        for client in [&mut hit, &mut fresh] {
            client.stream.write_all(b"into the void").await.expect("it is taken");
            client.assert_silent(ms(300)).await;
        }
        assert!(stage.felt().await >= 2);
        // What goes towards the service never gets there.
        let gets_there = direction == Direction::Downstream;
        assert_eq!(stage.echo.accepted(), reached + usize::from(gets_there), "{direction:?}");
        stage.heal().await;
        for client in [&mut hit, &mut fresh] {
            assert_eq!(client.end().await, Err(ErrorKind::ConnectionReset), "{direction:?}: a torn stream is no whole one");
        }
        idle.echo(b"nothing was lost").await.expect("an echo");
        stage.client().await.echo(b"anew").await.expect("an echo");
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_is_seen_where_it_is_sent_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut stage = Stage::set().await;
    stage.setting.upstream = listener.local_addr().expect("an address").to_string();
    assert!(stage.faults.proxies.replace(std::slice::from_ref(&stage.setting)).await.is_empty());
    for direction in DIRECTIONS {
        let mut client = stage.client().await;
        client.stream.write_all(b"x").await.expect("it is taken");
        let (mut service, _) = listener.accept().await.expect("a connection");
        assert_eq!(within(service.read_u8()).await.expect("a byte"), b'x');
        stage.apply("t", Toxic { direction, ..Toxic::new(ToxicKind::Reset { after: Span::ZERO }) }).await;
        let mut service = Client { stream: service };
        let seen = |does: bool| if does { Err(ErrorKind::ConnectionReset) } else { Ok(()) };
        assert_eq!(client.end().await, seen(direction != Direction::Upstream), "{direction:?}");
        assert_eq!(service.end().await, seen(direction != Direction::Downstream), "{direction:?}");
        assert_eq!(stage.felt().await, 1);
        stage.heal().await;
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_reset_lets_connections_live_for_a_while() {
    let stage = Stage::set().await;
    let mut running = stage.client().await;
    running.echo(b"before").await.expect("an echo");
    tokio::time::sleep(ms(300)).await;
    let watch = Stopwatch::start();
    stage.harm(ToxicKind::Reset { after: Span(400) }).await;
    running.echo(b"still alive").await.expect("an echo");
    assert_eq!(running.end().await, Err(ErrorKind::ConnectionReset));
    assert!(watch.elapsed() >= ms(395), "{:?}", watch.elapsed());
    let (watch, mut fresh) = (Stopwatch::start(), stage.client().await);
    assert_eq!(fresh.end().await, Err(ErrorKind::ConnectionReset));
    assert!(watch.elapsed() >= ms(395) && watch.elapsed() < ms(4_000), "{:?}", watch.elapsed());
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_down_refuses_and_comes_back() {
    let stage = Stage::set().await;
    let mut running = stage.client().await;
    running.echo(b"before").await.expect("an echo");
    stage.harm(ToxicKind::Down).await;
    assert_eq!(running.end().await, Err(ErrorKind::ConnectionReset));
    soon("it refuses", async || {
        let refused = stage.try_client().await.err()?;
        (refused.kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    let proof = stage.faults.proof(NAME, "t").await.expect("a proof");
    assert_eq!((proof.active, proof.connections), (true, 2), "one was cut, and our own attempt was refused");
    stage.heal().await;
    let mut back = soon("it is back", async || stage.try_client().await.ok()).await;
    back.echo(b"after").await.expect("an echo");
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn toxicity_chooses_whole_connections() {
    let stage = Stage::set().await;
    stage.apply("t", Toxic { toxicity: 0.5, ..Toxic::new(latency(100)) }).await;
    let mut slow = 0;
    let mut clients = Vec::new();
    for _ in 0..60 {
        clients.push(tokio::spawn({
            let mut client = stage.client().await;
            async move {
                let mut took = Vec::new();
                for _ in 0..3 {
                    took.push(client.echo(b"x").await.expect("an echo") >= ms(200));
                }
                took
            }
        }));
    }
    for client in clients {
        let took = client.await.expect("it ends");
        assert!(took.iter().all(|slow| *slow == took[0]), "chosen once for its life: {took:?}");
        slow += u64::from(took[0]);
    }
    assert!((12..=48).contains(&slow), "{slow} of 60");
    assert_eq!(stage.felt().await, slow);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_faults_stand_side_by_side_and_end_apart() {
    let stage = Stage::set().await;
    stage.apply("one", Toxic { direction: Direction::Upstream, ..Toxic::new(latency(100)) }).await;
    stage.apply("two", Toxic { direction: Direction::Downstream, ..Toxic::new(latency(200)) }).await;
    let mut client = stage.client().await;
    assert!(client.echo(b"x").await.expect("an echo") >= ms(300));
    let mut standing = stage.faults.standing().await;
    standing.sort_by(|one, other| one.tag.cmp(&other.tag));
    assert_eq!(standing.iter().map(|fault| fault.tag.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    stage.faults.heal(NAME, "two").await.expect("it is healed");
    let took = client.echo(b"x").await.expect("an echo");
    assert!(took >= ms(100) && took < ms(300), "{took:?}");
    // Under the same tag the later one counts.
    stage.apply("one", Toxic::new(ToxicKind::Reset { after: Span::ZERO })).await;
    assert_eq!(client.end().await, Err(ErrorKind::ConnectionReset));
    assert_eq!(stage.faults.standing().await.len(), 1);
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_by_itself() {
    let stage = Stage::set().await;
    let kinds = [
        latency(5_000),
        ToxicKind::Bandwidth { bytes_per_second: 1 },
        ToxicKind::Blackhole,
        ToxicKind::Reset { after: Span::ZERO },
        ToxicKind::Down,
    ];
    for kind in kinds {
        let watch = Stopwatch::start();
        stage.faults.apply(NAME, "t", &[Toxic::new(kind)], Span(400)).await.expect("the fault is put");
        soon("it ends", async || stage.faults.standing().await.is_empty().then_some(())).await;
        assert!(watch.elapsed() >= ms(395) && watch.elapsed() < Duration::from_secs(5), "{kind:?}: {:?}", watch.elapsed());
        let mut client = soon("it listens", async || stage.try_client().await.ok()).await;
        let took = client.echo(b"healed").await.expect("an echo");
        assert!(took < ms(2_000), "{kind:?}: {took:?}");
        assert!(!stage.faults.proof(NAME, "t").await.expect("a proof").active, "{kind:?}");
    }
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_refused_with_every_reason() {
    let stage = Stage::set().await;
    let toxics = [
        Toxic { toxicity: 1.5, ..Toxic::new(ToxicKind::Blackhole) },
        Toxic::new(latency(-1)),
        Toxic::new(ToxicKind::Bandwidth { bytes_per_second: 0 }),
        Toxic { direction: Direction::Upstream, ..Toxic::new(ToxicKind::Down) },
    ];
    let error = stage.faults.apply(NAME, "", &toxics, Span::ZERO).await.expect_err("it is refused");
    let FaultError::Refused(said) = error else { panic!("{error:?}") };
    for part in ["blackhole: toxicity", "latency: delay", "bytes_per_second", "down concerns", "a tag has", "24 h"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(stage.faults.standing().await.is_empty());
    let absent = stage.faults.apply("nobody", "t", &[Toxic::new(ToxicKind::Down)], LONG).await;
    assert!(matches!(absent, Err(FaultError::Absent { .. })), "{absent:?}");
    stage.faults.heal("nobody", "t").await.expect("what is not there is healed");
    let unknown = stage.faults.proof(NAME, "unknown").await.expect("a proof");
    assert_eq!((unknown.active, unknown.is_felt()), (false, false));
    stage.strike().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_away_is_seen_as_a_reset() {
    let mut stage = Stage::set().await;
    stage.setting.upstream = format!("127.0.0.1:{}", crate::harness::free_port());
    assert!(stage.faults.proxies.replace(std::slice::from_ref(&stage.setting)).await.is_empty());
    // The reset may come before connecting has returned.
    let seen = match stage.try_client().await {
        Ok(mut client) => client.end().await,
        Err(error) => Err(error.kind()),
    };
    assert_eq!(seen, Err(ErrorKind::ConnectionReset));
    stage.strike().await;
}
