//! Sessions and their tokens: renewed, ended, expired.

use globalshop::accounts::{Refusal, Role, Roles, Secret, TokenRefusal, long_token};

use super::{DAY, EMAIL, House, MINUTE, PASSWORD, assert_ended, refusal};

#[tokio::test]
async fn a_refresh_token_works_once_and_its_reuse_ends_the_session() {
    let house = House::open().await;
    let ada = house.ada().await;
    let first = house.accounts.open_tokens(ada).await.unwrap();
    let second = house
        .accounts
        .refresh(first.refresh_token.expose())
        .await
        .unwrap();
    assert_eq!((second.customer_id, second.session_id), (ada, first.session_id));
    house.caller(&second.access_token).await.unwrap();
    house.caller(&first.access_token).await.unwrap();

    let mut changes = house.accounts.changes();
    let reused = house.accounts.refresh(first.refresh_token.expose()).await;
    assert_eq!(refusal(reused), Refusal::RefreshToken);
    assert_eq!(changes.try_recv(), Ok(ada));
    assert_ended(house.caller(&second.access_token).await);
    assert_ended(house.caller(&first.access_token).await);
    let family = house.accounts.refresh(second.refresh_token.expose()).await;
    assert_eq!(refusal(family), Refusal::RefreshToken);
}

/// All of them present the same good token at once: one is first, and nobody is left inside.
#[tokio::test]
async fn of_concurrent_refreshes_one_is_first() {
    let house = House::open().await;
    let ada = house.ada().await;
    let grant = house.accounts.open_tokens(ada).await.unwrap();
    let racers = (0..8).map(|_| house.accounts.refresh(grant.refresh_token.expose()));
    let outcomes = futures_util::future::join_all(racers).await;
    let won: Vec<_> = outcomes.into_iter().filter_map(Result::ok).collect();
    assert_eq!(won.len(), 1);
    assert_ended(house.caller(&won[0].access_token).await);
}

#[tokio::test]
async fn refresh_tokens_expire_and_are_no_other_kind_of_token() {
    let house = House::open().await;
    let grant = house.accounts.open_guest().await.unwrap();
    let refresh = grant.refresh_token.expose();
    assert_eq!(
        refusal(house.accounts.verify_token(refresh).await),
        Refusal::Token(TokenRefusal::NotOurs)
    );
    assert_eq!(house.accounts.find_browser(refresh).await.unwrap(), None);
    for bad in [grant.access_token.expose(), "", "gsr_", "\0"] {
        assert_eq!(refusal(house.accounts.refresh(bad).await), Refusal::RefreshToken);
    }
    house.clock.jump(30 * DAY);
    assert_eq!(
        refusal(house.accounts.refresh(refresh).await),
        Refusal::RefreshToken
    );
}

#[tokio::test]
async fn an_ended_session_is_over_at_once() {
    let house = House::open().await;
    let ada = house.ada().await;
    let (one, two) = (
        house.accounts.open_tokens(ada).await.unwrap(),
        house.accounts.open_tokens(ada).await.unwrap(),
    );
    house.caller(&one.access_token).await.unwrap();
    house.accounts.end_session(one.session_id).await.unwrap();
    house.accounts.end_session(one.session_id).await.unwrap();
    assert_ended(house.caller(&one.access_token).await);
    house.caller(&two.access_token).await.unwrap();
    house.accounts.end_all(ada).await.unwrap();
    assert_ended(house.caller(&two.access_token).await);
}

#[tokio::test]
async fn a_role_counts_from_the_next_request_on() {
    let house = House::open().await;
    let ada = house.ada().await;
    let grant = house.accounts.open_tokens(ada).await.unwrap();
    let browser = house.accounts.open_browser(ada, None).await.unwrap();
    let has_seller = async || {
        let by_token = house.caller(&grant.access_token).await.unwrap();
        let by_cookie = house
            .accounts
            .find_browser(browser.cookie.expose())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(by_token.roles, by_cookie.roles);
        by_token.has(Role::Seller)
    };
    assert!(!has_seller().await);
    let roles = house
        .accounts
        .grant("ADA@example.org", Role::Seller)
        .await
        .unwrap();
    assert_eq!(roles, Roles::SHOPPER.with(Role::Seller));
    assert!(has_seller().await);
    house.accounts.grant(EMAIL, Role::Seller).await.unwrap();
    assert_eq!(house.accounts.me(ada).await.unwrap().roles, roles);
    house.accounts.revoke_role(EMAIL, Role::Seller).await.unwrap();
    assert!(!has_seller().await);
    for unknown in ["nobody@example.org", "\0"] {
        let refused = house.accounts.grant(unknown, Role::Operator).await;
        assert_eq!(refusal(refused), Refusal::UnknownCustomer);
    }
}

#[tokio::test]
async fn a_token_of_the_command_line_needs_no_session() {
    let house = House::open().await;
    let token = long_token(&house.key, &house.clock, Role::Operator, None).unwrap();
    let caller = house.caller(&token).await.unwrap();
    assert!(caller.has(Role::Operator) && !caller.has(Role::Seller) && !caller.has(Role::Shopper));
    assert_eq!(caller.session_id, None);
    house.clock.jump(12 * 60 * MINUTE - MINUTE);
    house.caller(&token).await.unwrap();
    house.clock.jump(MINUTE);
    assert_eq!(
        refusal(house.caller(&token).await),
        Refusal::Token(TokenRefusal::Expired)
    );
}

#[tokio::test]
async fn a_browser_session_ends_by_idling_by_age_and_by_rotation() {
    let house = House::open().await;
    let guest = house.accounts.open_guest_browser().await.unwrap();
    let find = async |cookie: &Secret| house.accounts.find_browser(cookie.expose()).await.unwrap();
    let caller = find(&guest.cookie).await.unwrap();
    assert_eq!((caller.customer_id, caller.guest), (guest.customer_id, true));

    let password = Secret::new(PASSWORD);
    let ada = house.ada().await;
    let other = house.accounts.open_browser(ada, None).await.unwrap();
    house
        .accounts
        .sign_in(EMAIL, &password, Some(guest.customer_id))
        .await
        .unwrap();
    let rotated = house
        .accounts
        .open_browser(ada, Some(other.session_id))
        .await
        .unwrap();
    assert_eq!(
        find(&guest.cookie).await,
        None,
        "the guest's session ended with the merge"
    );
    assert_eq!(find(&other.cookie).await, None, "the session before was replaced");
    assert_eq!(find(&rotated.cookie).await.unwrap().customer_id, ada);

    // Used now and then it lives on, until it is too old.
    for _ in 0..6 {
        house.clock.jump(13 * DAY);
        assert!(find(&rotated.cookie).await.is_some());
    }
    house.clock.jump(13 * DAY);
    assert_eq!(find(&rotated.cookie).await, None);
    let idle = house.accounts.open_browser(ada, None).await.unwrap();
    house.clock.jump(14 * DAY);
    assert_eq!(find(&idle.cookie).await, None);
}

#[tokio::test]
async fn a_csrf_token_is_good_for_its_session_only() {
    let house = House::open().await;
    let one = house.accounts.open_guest_browser().await.unwrap();
    let two = house.accounts.open_guest_browser().await.unwrap();
    let again = house.reopen().await.accounts;
    assert!(again.csrf_matches(one.cookie.expose(), &one.csrf_token));
    assert!(!again.csrf_matches(two.cookie.expose(), &one.csrf_token));
    assert!(!again.csrf_matches(one.cookie.expose(), ""));
}
