//! Passwords: reset by mail, changed, hashed anew.

use globalshop::accounts::{Refusal, Secret};

use super::{EMAIL, House, MINUTE, PASSWORD, assert_ended, refusal};

#[tokio::test]
async fn a_reset_works_once_and_ends_every_session() {
    let house = House::open().await;
    let ada = house.ada().await;
    assert!(
        house
            .accounts
            .request_reset("nobody@example.org")
            .await
            .unwrap()
            .is_none()
    );
    assert!(house.accounts.request_reset("\0").await.unwrap().is_none());
    let mail = house
        .accounts
        .request_reset("ada@example.org")
        .await
        .unwrap()
        .unwrap();
    let other = house.accounts.request_reset(EMAIL).await.unwrap().unwrap();
    assert_eq!((mail.email.as_str(), mail.name.as_str()), (EMAIL, "Ada Lovelace"));

    let grant = house.accounts.open_tokens(ada).await.unwrap();
    house.caller(&grant.access_token).await.unwrap();
    let new = Secret::new("bernoulli numbers");
    let weak = house
        .accounts
        .reset_password(mail.token.expose(), &Secret::new("password"))
        .await;
    assert!(
        matches!(refusal(weak), Refusal::Invalid(_)),
        "and the token is not used up"
    );
    house
        .accounts
        .reset_password(mail.token.expose(), &new)
        .await
        .unwrap();
    assert_ended(house.caller(&grant.access_token).await);
    for used in [mail.token.expose(), other.token.expose(), "gsp_", "\0"] {
        let refused = house.accounts.reset_password(used, &new).await;
        assert_eq!(refusal(refused), Refusal::ResetToken);
    }
    assert_eq!(
        refusal(house.sign_in(EMAIL, PASSWORD).await),
        Refusal::WrongCredentials
    );
    house.sign_in(EMAIL, new.expose()).await.unwrap();

    let late = house.accounts.request_reset(EMAIL).await.unwrap().unwrap();
    house.clock.jump(30 * MINUTE);
    let refused = house.accounts.reset_password(late.token.expose(), &new).await;
    assert_eq!(refusal(refused), Refusal::ResetToken);
}

#[tokio::test]
async fn one_mailbox_is_not_flooded_with_resets() {
    let house = House::open().await;
    house.ada().await;
    let (start, mut mails) = (house.clock.now(), 0);
    for _ in 0..20 {
        house.set_try(start, mails);
        mails += i64::from(house.accounts.request_reset(EMAIL).await.unwrap().is_some());
    }
    assert_eq!(mails, 5);
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let house = House::open().await;
    let ada = house.ada().await;
    let (here, there) = (
        house.accounts.open_tokens(ada).await.unwrap(),
        house.accounts.open_tokens(ada).await.unwrap(),
    );
    let (old, new) = (Secret::new(PASSWORD), Secret::new("bernoulli numbers"));
    let change = async |current: &Secret| {
        house
            .accounts
            .change_password(ada, current, &new, Some(here.session_id))
            .await
    };
    assert_eq!(refusal(change(&new).await), Refusal::WrongCredentials);
    change(&old).await.unwrap();
    house.caller(&here.access_token).await.unwrap();
    assert_ended(house.caller(&there.access_token).await);
    house.sign_in(EMAIL, new.expose()).await.unwrap();
    house.clock.jump(MINUTE);
    let start = house.clock.now();
    for number in 0..5 {
        house.set_try(start, number);
        assert_eq!(refusal(change(&old).await), Refusal::WrongCredentials);
    }
    house.set_try(start, 5);
    assert!(matches!(
        refusal(change(&new).await),
        Refusal::TooManyGuesses { .. }
    ));

    let guest = house.accounts.open_guest().await.unwrap().customer_id;
    let refused = house.accounts.change_password(guest, &old, &new, None).await;
    assert_eq!(refusal(refused), Refusal::UnknownCustomer);
}

#[tokio::test]
async fn an_outdated_hash_is_renewed_at_sign_in() {
    let house = House::open().await;
    let ada = house.ada().await;
    // argon2id of "hunter2 hunter2" with m=8192, t=2, as an earlier release might have stored it.
    let params = argon2::Params::new(8_192, 2, 1, None).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let outdated =
        argon2::PasswordHasher::hash_password_with_salt(&argon2, b"hunter2 hunter2", b"0123456789abcdef");
    sqlx::query("update customer set password_hash = $2 where customer_id = $1")
        .bind(ada.0)
        .bind(outdated.unwrap().to_string())
        .execute(&house.pool)
        .await
        .unwrap();
    house.sign_in(EMAIL, "hunter2 hunter2").await.unwrap();
    let stored: String = sqlx::query_scalar("select password_hash from customer where customer_id = $1")
        .bind(ada.0)
        .fetch_one(&house.pool)
        .await
        .unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=47104,t=1,p=1$"), "{stored}");
    house.sign_in(EMAIL, "hunter2 hunter2").await.unwrap();
}
