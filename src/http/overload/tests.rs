//! Admission on a paused clock.

use super::*;

fn room(in_flight: usize, waiting: usize) -> Room {
    let settings = RoomSettings {
        in_flight,
        waiting,
        ..RoomSettings::default()
    };
    Room::new(settings, Clock::system())
}

async fn fill(room: &Room, class: Class, places: usize) -> Vec<Place> {
    let mut taken = Vec::new();
    for _ in 0..places {
        taken.push(room.enter(class).await.unwrap());
    }
    taken
}

#[tokio::test(start_paused = true)]
async fn who_pays_is_refused_last_and_operators_never() {
    let room = room(4, 0);
    let mut places = fill(&room, Class::Rest, 2).await;
    assert!(room.enter(Class::Rest).await.is_err());
    places.extend(fill(&room, Class::Browse, 1).await);
    assert!(room.enter(Class::Browse).await.is_err());
    places.extend(fill(&room, Class::Checkout, 1).await);
    assert_eq!(
        room.enter(Class::Checkout).await.unwrap_err().problem().status(),
        503
    );
    places.extend(fill(&room, Class::Operate, OPERATE_PLACES).await);
    assert!(
        room.enter(Class::Operate).await.is_err(),
        "even theirs are bounded"
    );
    assert_eq!(room.load(), (4, 0));
    drop(places);
    assert_eq!(room.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_short_rush_waits_and_the_most_important_goes_first() {
    let room = room(1, 8);
    let place = room.enter(Class::Checkout).await.unwrap();
    let (told, mut tell) = tokio::sync::mpsc::channel(8);
    for class in [Class::Rest, Class::Browse, Class::Checkout] {
        let (room, told) = (room.clone(), told.clone());
        tokio::spawn(async move {
            let place = room.enter(class).await.unwrap();
            told.send(class).await.unwrap();
            drop(place);
        });
    }
    while room.load().1 < 3 {
        tokio::task::yield_now().await;
    }
    drop(place);
    for class in [Class::Checkout, Class::Browse, Class::Rest] {
        assert_eq!(tell.recv().await, Some(class));
    }
    assert_eq!(room.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_queue_never_stands() {
    let room = room(1, 8);
    let clock = Clock::system();
    let place = room.enter(Class::Checkout).await.unwrap();
    let began = clock.instant();
    assert!(room.enter(Class::Browse).await.is_err());
    assert_eq!(clock.instant() - began, RoomSettings::default().patience);
    let began = clock.instant();
    for _ in 0..100 {
        assert!(room.enter(Class::Browse).await.is_err());
    }
    assert_eq!(clock.instant(), began, "at once, for somebody has waited in vain");
    drop(place);
    assert!(
        room.enter(Class::Browse).await.is_ok(),
        "and a free place is a free place"
    );
    clock.sleep(QUIET).await;
    let place = room.enter(Class::Checkout).await.unwrap();
    let began = clock.instant();
    assert!(room.enter(Class::Browse).await.is_err());
    assert!(clock.instant() > began, "one may wait again");
    drop(place);
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_than_may_and_who_hangs_up_leaves_no_trace() {
    let room = room(1, 2);
    let place = room.enter(Class::Checkout).await.unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let room = room.clone();
            tokio::spawn(async move { room.enter(Class::Checkout).await.map(drop) })
        })
        .collect();
    while room.load().1 < 2 {
        tokio::task::yield_now().await;
    }
    assert!(room.enter(Class::Checkout).await.is_err());
    for gone in waiting {
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    drop(place);
    assert_eq!(room.load(), (0, 0));
    assert!(room.enter(Class::Checkout).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_bounded_and_everybody_is_answered() {
    let room = room(4, 8);
    let (told, mut tell) = tokio::sync::mpsc::channel(1_000);
    for n in 0..1_000_usize {
        let (room, told) = (room.clone(), told.clone());
        let class = [Class::Checkout, Class::Browse, Class::Rest][n % 3];
        tokio::spawn(async move {
            let entered = room.enter(class).await;
            let (taken, waiting) = room.load();
            assert!(taken <= 4 && waiting <= 8);
            tokio::task::yield_now().await;
            told.send(entered.is_ok()).await.unwrap();
        });
    }
    drop(told);
    let mut answered = (0, 0);
    while let Some(served) = tell.recv().await {
        if served {
            answered.0 += 1;
        } else {
            answered.1 += 1;
        }
    }
    assert_eq!(answered.0 + answered.1, 1_000);
    assert!(answered.0 >= 4 && answered.1 > 0, "{answered:?}");
    assert_eq!(room.load(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn extras_go_while_somebody_is_turned_away_and_come_back() {
    let room = room(1, 0);
    let clock = Clock::system();
    let place = room.enter(Class::Checkout).await.unwrap();
    while room.brown_out() < BrownOut::Suggestions {
        assert!(room.enter(Class::Rest).await.is_err());
        clock.sleep(WINDOW).await;
    }
    drop(place);
    clock.sleep(Duration::from_secs(3)).await;
    assert_eq!(room.brown_out(), BrownOut::Facets);
    clock.sleep(Duration::from_secs(4)).await;
    assert_eq!(room.brown_out(), BrownOut::None);
}

#[tokio::test(start_paused = true)]
async fn of_the_slow_the_least_important_gives_way() {
    let room = room(512, 0);
    let clock = Clock::system();
    for _ in 0..2 {
        let mut places = fill(&room, Class::Browse, 10).await;
        places.extend(fill(&room, Class::Checkout, 10).await);
        clock.sleep(Duration::from_millis(400)).await;
        for mut place in places {
            place.answered(StatusCode::OK, None);
        }
    }
    let state = room.0.lock();
    let limit = |class: Class| state.lanes[class.index()].limit.now();
    assert_eq!(
        (limit(Class::Browse), limit(Class::Checkout)),
        (16, 64),
        "{state:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_own_client_takes_nobodys_place() {
    let room = room(1, 0);
    let slow = Seat::take(&room, Class::Checkout).await.unwrap();
    assert!(slow.aside(async { Ok::<_, ()>("here at once") }).await.is_ok());
    assert_eq!(room.load(), (1, 0));
    let (send, body) = oneshot::channel();
    let waiting = tokio::spawn({
        let slow = slow.clone();
        async move { slow.aside(body).await.unwrap() }
    });
    while room.load().0 > 0 {
        tokio::task::yield_now().await;
    }
    let other = Seat::take(&room, Class::Checkout).await.unwrap();
    other.answered(StatusCode::OK, None);
    send.send("here at last").unwrap();
    assert_eq!(waiting.await.unwrap(), "here at last");
    assert_eq!(room.load(), (1, 0));
    slow.answered(StatusCode::OK, None);
    assert_eq!(room.load(), (0, 0));
    // Whose body comes when there is no place any more is told so, as at the door.
    let late = Seat::take(&room, Class::Checkout).await.unwrap();
    let other = async {
        tokio::task::yield_now().await;
        Ok::<_, ()>(Seat::take(&room, Class::Checkout).await.unwrap())
    };
    assert!(matches!(late.aside(other).await, Err(Aside::Shed(_))));
}
