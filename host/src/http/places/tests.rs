use super::*;

/// Takes a place for a client that has another port each time, as clients have.
fn take(places: &Arc<Places>, client: &str) -> Option<Place> {
    let port = places.lock().number as u16;
    places.take(ClientAddress::Tcp(SocketAddr::new(client.parse().unwrap(), port)))
}

#[test]
fn one_address_cannot_take_all_places_and_spare_ones_are_left_for_others() {
    let config = HttpConfig { max_connections: 8, ..HttpConfig::default() };
    let places = Places::new(&config);
    let mut held = (0..7).map(|_| take(&places, "10.0.0.1").unwrap()).collect::<Vec<_>>();
    assert!(held.iter().all(|place| !place.is_spare));
    held.extend((0..SPARE_PER_ADDRESS).map(|_| take(&places, "::ffff:10.0.0.1").unwrap()));
    assert!(held[7..].iter().all(|place| place.is_spare));
    assert!(take(&places, "10.0.0.1").is_none());
    let other = take(&places, "10.0.0.2").unwrap();
    assert!(!other.is_spare);
    assert!(take(&places, "10.0.0.2").unwrap().is_spare, "all places are taken");
    drop(held);
    assert!(!take(&places, "10.0.0.1").unwrap().is_spare);
    drop(other);
    assert!(places.lock().by_address.is_empty() && places.lock().silent.is_empty());
}

#[test]
fn addresses_of_one_ipv6_network_share() {
    let config = HttpConfig { max_connections_per_address: Some(1), ..HttpConfig::default() };
    let places = Places::new(&config);
    let _first = take(&places, "2001:db8::1").unwrap();
    assert!(take(&places, "2001:db8::2").unwrap().is_spare);
    assert!(!take(&places, "2001:db8:0:1::1").unwrap().is_spare);
}

#[cfg(unix)]
#[test]
fn each_user_of_a_unix_socket_has_a_share() {
    let config = HttpConfig { max_connections_per_address: Some(1), ..HttpConfig::default() };
    let places = Places::new(&config);
    let _first = places.take(ClientAddress::User(1000)).unwrap();
    assert!(places.take(ClientAddress::User(1000)).unwrap().is_spare);
    assert!(!places.take(ClientAddress::User(33)).unwrap().is_spare);
}

#[tokio::test]
async fn the_oldest_connection_that_has_not_asked_gives_way_and_one_that_has_does_not() {
    let config = HttpConfig { max_connections: 2, max_connections_per_address: Some(2), ..HttpConfig::default() };
    let places = Places::new(&config);
    let serve = |place: Place| {
        let number = place.number;
        let task = tokio::spawn(async move {
            let _place = place;
            std::future::pending::<()>().await;
        });
        places.serve(number, task.abort_handle());
        task
    };
    let asked = take(&places, "10.0.0.1").unwrap();
    asked.ask();
    let asked = serve(asked);
    let oldest = serve(take(&places, "10.0.0.1").unwrap());
    let next = take(&places, "10.0.0.2").unwrap();
    assert!(!next.is_spare, "the oldest gives way");
    assert!(oldest.await.unwrap_err().is_cancelled());
    next.ask();
    assert!(take(&places, "10.0.0.3").unwrap().is_spare, "both have asked");
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    assert!(!take(&places, "10.0.0.3").unwrap().is_spare);
    drop(next);
    places.empty().await;
    let taken = places.lock();
    assert_eq!((taken.clients, taken.spare, taken.silent.len()), (0, 0, 0));
}
