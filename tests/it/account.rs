//! Accounts on a real PostgreSQL, through the one door the edge uses.

use std::sync::Arc;
use std::time::Duration;

use globalshop::accounts::{
    AccountError, AccountSettings, Accounts, Caller, Fault, Refusal, Registration, Role, Roles, Secret,
    SignedIn, SigningKey, TokenRefusal, long_token,
};
use globalshop::clock::Clock;
use globalshop::domain::Millis;
use globalshop::domain::id::CustomerId;
use sqlx::PgPool;

use crate::database;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

const EMAIL: &str = "Ada@example.org";
const PASSWORD: &str = "analytical engine";

/// One shop: its rows, its key, and a clock that the test can set forward.
struct House {
    accounts: Arc<Accounts>,
    pool: PgPool,
    clock: Clock,
    key: SigningKey,
}

impl House {
    async fn open() -> Self {
        let clock = Clock::simulated(7, Millis(1_800_000_000_000));
        let key = SigningKey::ephemeral(&clock).unwrap();
        Self::open_with(database::fresh().await, clock, key, AccountSettings::default()).await
    }

    async fn open_with(pool: PgPool, clock: Clock, key: SigningKey, settings: AccountSettings) -> Self {
        let accounts = Accounts::start(pool.clone(), clock.clone(), key.clone(), settings).await;
        Self {
            accounts: Arc::new(accounts.unwrap()),
            pool,
            clock,
            key,
        }
    }

    /// The same shop after a restart: what was only in memory is gone.
    async fn reopen(&self) -> Self {
        let (pool, clock, key) = (self.pool.clone(), self.clock.clone(), self.key.clone());
        Self::open_with(pool, clock, key, AccountSettings::default()).await
    }

    async fn register(&self, email: &str, guest: Option<CustomerId>) -> Result<SignedIn, AccountError> {
        let registration = Registration {
            email: email.to_owned(),
            password: Secret::new(PASSWORD),
            name: "Ada Lovelace".to_owned(),
        };
        self.accounts.register(registration, guest).await
    }

    /// An account of [`EMAIL`].
    async fn ada(&self) -> CustomerId {
        self.register(EMAIL, None).await.unwrap().customer_id
    }

    async fn sign_in(&self, email: &str, password: &str) -> Result<SignedIn, AccountError> {
        self.accounts.sign_in(email, &Secret::new(password), None).await
    }

    /// Sets the clock to a second after `start` for each try, however long a busy machine took.
    fn set_try(&self, start: Millis, number: i64) {
        let at = start.plus_seconds(number);
        self.clock.jump(at.since(self.clock.now()));
    }

    async fn caller(&self, token: &Secret) -> Result<Arc<Caller>, AccountError> {
        self.accounts.verify_token(token.expose()).await
    }
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, AccountError>) -> Refusal {
    match result {
        Err(AccountError::Refused(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[track_caller]
fn assert_ended(result: Result<Arc<Caller>, AccountError>) {
    assert_eq!(refusal(result), Refusal::Token(TokenRefusal::SessionEnded));
}

#[tokio::test]
async fn a_guest_shops_without_an_account() {
    let house = House::open().await;
    let grant = house.accounts.open_guest().await.unwrap();
    assert_eq!(grant.expires_in_seconds, 900);
    let caller = house.caller(&grant.access_token).await.unwrap();
    assert_eq!(caller.customer_id, grant.customer_id);
    assert_eq!(caller.session_id, Some(grant.session_id));
    assert_eq!((caller.roles, caller.guest), (Roles::SHOPPER, true));
    let me = house.accounts.me(grant.customer_id).await.unwrap();
    assert_eq!((me.email, me.name, me.roles), (None, None, Roles::SHOPPER));
    let identities = house.accounts.identities(grant.customer_id).await.unwrap();
    assert_eq!(*identities, [grant.customer_id]);
    let stranger = house.accounts.me(CustomerId(house.clock.new_id())).await;
    assert_eq!(refusal(stranger), Refusal::UnknownCustomer);
}

/// The access token is read from the rows as well as from memory, so a restart changes nothing.
#[tokio::test]
async fn tokens_survive_a_restart_but_not_another_key() {
    let house = House::open().await;
    let guest = house.accounts.open_guest().await.unwrap();
    let again = house.reopen().await;
    assert_eq!(
        again.caller(&guest.access_token).await.unwrap(),
        house.caller(&guest.access_token).await.unwrap()
    );
    let other = SigningKey::ephemeral(&house.clock).unwrap();
    let other = House::open_with(
        house.pool.clone(),
        house.clock.clone(),
        other,
        AccountSettings::default(),
    )
    .await;
    let refused = other.caller(&guest.access_token).await;
    assert_eq!(refusal(refused), Refusal::Token(TokenRefusal::NotOurs));
    house.clock.jump(15 * MINUTE);
    for house in [&house, &again] {
        let expired = house.caller(&guest.access_token).await;
        assert_eq!(refusal(expired), Refusal::Token(TokenRefusal::Expired));
    }
}

#[tokio::test]
async fn a_guest_who_registers_keeps_its_id_and_loses_its_tokens() {
    let house = House::open().await;
    let guest = house.accounts.open_guest().await.unwrap();
    house.caller(&guest.access_token).await.unwrap();
    let account = house.register(EMAIL, Some(guest.customer_id)).await.unwrap();
    assert_eq!(account.customer_id, guest.customer_id);
    assert_ended(house.caller(&guest.access_token).await);
    let refused = house.accounts.refresh(guest.refresh_token.expose()).await;
    assert_eq!(refusal(refused), Refusal::RefreshToken);

    let grant = house.accounts.open_tokens(account.customer_id).await.unwrap();
    let caller = house.caller(&grant.access_token).await.unwrap();
    assert!(!caller.guest);
    let me = house.accounts.me(account.customer_id).await.unwrap();
    assert_eq!(me.email.as_deref(), Some(EMAIL));
    assert_eq!(me.name.as_deref(), Some("Ada Lovelace"));

    let second = house
        .register("grace@example.org", Some(guest.customer_id))
        .await
        .unwrap();
    assert_ne!(
        second.customer_id, guest.customer_id,
        "it is nobody's guest any more"
    );
}

#[tokio::test]
async fn an_email_registers_once_even_in_a_race() {
    let house = House::open().await;
    let racers = (0..6).map(|n| {
        let email = if n % 2 == 0 {
            EMAIL.to_lowercase()
        } else {
            EMAIL.to_uppercase()
        };
        let house = &house;
        async move { house.register(&email, None).await }
    });
    let outcomes = futures_util::future::join_all(racers).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 5));
    for outcome in lost {
        assert_eq!(refusal(outcome), Refusal::EmailTaken);
    }
}

#[tokio::test]
async fn a_registration_hears_of_every_mistake_at_once() {
    let house = House::open().await;
    let registration = Registration {
        email: "ada\0@example.org".to_owned(),
        password: Secret::new("password"),
        name: " \u{202e} ".to_owned(),
    };
    let Refusal::Invalid(fields) = refusal(house.accounts.register(registration, None).await) else {
        panic!("not refused as invalid");
    };
    let pointers: Vec<_> = fields.iter().map(|field| field.pointer).collect();
    assert_eq!(pointers, ["/email", "/name", "/password"]);
}

#[tokio::test]
async fn wrong_and_unknown_are_told_alike_and_counted_alike() {
    let house = House::open().await;
    house.ada().await;
    house.sign_in(" ada@EXAMPLE.org ", PASSWORD).await.unwrap();
    let start = house.clock.now();
    for email in [EMAIL, "nobody@example.org", "not an e-mail \0"] {
        for number in 0..5 {
            house.set_try(start, number);
            let refused = house.sign_in(email, "difference engine").await;
            assert_eq!(refusal(refused), Refusal::WrongCredentials);
        }
        house.set_try(start, 5);
        let refused = refusal(house.sign_in(email, PASSWORD).await);
        assert!(matches!(refused, Refusal::TooManyGuesses { .. }), "{refused:?}");
    }
    house.clock.jump(MINUTE);
    for _ in 0..7 {
        house.sign_in(EMAIL, PASSWORD).await.unwrap();
    }
}

#[tokio::test]
async fn a_guest_who_signs_in_belongs_to_the_account() {
    let house = House::open().await;
    let ada = house.ada().await;
    assert_eq!(*house.accounts.identities(ada).await.unwrap(), [ada]);
    let guest = house.accounts.open_guest().await.unwrap();
    let password = Secret::new(PASSWORD);
    let signed_in = house
        .accounts
        .sign_in(EMAIL, &password, Some(guest.customer_id))
        .await
        .unwrap();
    assert_eq!(
        signed_in,
        SignedIn {
            customer_id: ada,
            carts_to_merge: vec![guest.customer_id]
        }
    );
    assert_ended(house.caller(&guest.access_token).await);
    assert_eq!(
        *house.accounts.identities(ada).await.unwrap(),
        [ada, guest.customer_id]
    );

    // The merge of the cart was interrupted: the next sign-in asks for it again.
    let again = house.sign_in(EMAIL, PASSWORD).await.unwrap();
    assert_eq!(again.carts_to_merge, [guest.customer_id]);
    house.accounts.cart_merged(guest.customer_id).await.unwrap();
    assert_eq!(house.sign_in(EMAIL, PASSWORD).await.unwrap().carts_to_merge, []);

    // One guest has one owner, and an account is nobody's guest.
    let grace = house
        .register("grace@example.org", None)
        .await
        .unwrap()
        .customer_id;
    for taken in [guest.customer_id, ada, CustomerId(house.clock.new_id())] {
        house
            .accounts
            .sign_in("grace@example.org", &password, Some(taken))
            .await
            .unwrap();
    }
    assert_eq!(*house.accounts.identities(grace).await.unwrap(), [grace]);
}

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

/// Every row of every account table as text: nothing in it opens anything.
#[tokio::test]
async fn nothing_that_can_be_used_is_stored() {
    let house = House::open().await;
    let ada = house.ada().await;
    let grant = house.accounts.open_tokens(ada).await.unwrap();
    let browser = house.accounts.open_browser(ada, None).await.unwrap();
    let reset = house.accounts.request_reset(EMAIL).await.unwrap().unwrap();
    let mut stored = String::new();
    for table in [
        "customer",
        "account_session",
        "account_refresh",
        "account_reset",
        "account_merge",
    ] {
        let rows: Vec<String> =
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select t::text from {table} t")))
                .fetch_all(&house.pool)
                .await
                .unwrap();
        stored.extend(rows);
    }
    assert!(stored.contains(EMAIL), "the rows were read");
    let secrets = [
        PASSWORD,
        reset.token.expose(),
        browser.cookie.expose(),
        grant.refresh_token.expose(),
    ];
    for secret in secrets {
        assert!(!stored.contains(secret));
        assert!(!stored.contains(&hex(secret)));
    }
    for shown in [format!("{grant:?}"), format!("{browser:?}"), format!("{reset:?}")] {
        for secret in [
            &grant.access_token,
            &grant.refresh_token,
            &browser.cookie,
            &reset.token,
        ] {
            assert!(!shown.contains(secret.expose()), "{shown}");
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_sweep_removes_what_expired_and_nothing_else() {
    let house = House::open().await;
    let ada = house.ada().await;
    house.accounts.open_guest().await.unwrap();
    house.accounts.open_guest_browser().await.unwrap();
    house.accounts.request_reset(EMAIL).await.unwrap();
    house.accounts.request_reset("nobody@example.org").await.unwrap();
    assert_eq!(house.accounts.sweep().await.unwrap(), Default::default());

    house.clock.jump(31 * DAY);
    let kept = house.accounts.open_tokens(ada).await.unwrap();
    let swept = house.accounts.sweep().await.unwrap();
    assert_eq!(
        (swept.sessions, swept.resets, swept.guests, swept.more),
        (2, 2, 0, false)
    );
    house.caller(&kept.access_token).await.unwrap();
    house.clock.jump(60 * DAY);
    let swept = house.accounts.sweep().await.unwrap();
    assert_eq!((swept.sessions, swept.guests), (1, 2));
    house.sign_in(EMAIL, PASSWORD).await.unwrap();
}

#[tokio::test]
async fn demo_accounts_are_the_same_at_every_start() {
    let house = House::open().await;
    let made = house.accounts.ensure_demo_accounts().await.unwrap();
    for account in &made {
        let password = account.password.as_ref().unwrap();
        let signed_in = house.sign_in(account.email, password.expose()).await.unwrap();
        let roles = house.accounts.me(signed_in.customer_id).await.unwrap().roles;
        assert_eq!(roles, Roles::SHOPPER.with(account.role));
    }
    let seller = &made[1];
    let customer = house
        .sign_in(seller.email, seller.password.as_ref().unwrap().expose())
        .await
        .unwrap();
    let new = Secret::new("not the printed one");
    let current = seller.password.clone().unwrap();
    house
        .accounts
        .change_password(customer.customer_id, &current, &new, None)
        .await
        .unwrap();
    let again = house
        .reopen()
        .await
        .accounts
        .ensure_demo_accounts()
        .await
        .unwrap();
    for (before, after) in made.iter().zip(&again) {
        let before = before.password.as_ref().map(Secret::expose);
        let after_password = after.password.as_ref().map(Secret::expose);
        let expected = if after.role == Role::Seller { None } else { before };
        assert_eq!(after_password, expected, "{}", after.email);
    }
}

/// Somebody holds a lock on the table: the call ends in time, as a fault, and the next one works.
#[tokio::test]
async fn a_stalled_database_is_a_fault_in_bounded_time() {
    let settings = AccountSettings {
        database_timeout: Duration::from_millis(300),
        ..Default::default()
    };
    let clock = Clock::simulated(7, Millis(1_800_000_000_000));
    let key = SigningKey::ephemeral(&clock).unwrap();
    let house = House::open_with(database::fresh().await, clock, key, settings).await;
    let mut holder = house.pool.begin().await.unwrap();
    sqlx::query("lock table customer in access exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let stalled = house.accounts.open_guest().await;
    assert!(
        matches!(stalled, Err(AccountError::Fault(Fault::TimedOut { .. }))),
        "{stalled:?}"
    );
    holder.rollback().await.unwrap();
    let generous = house.reopen().await;
    generous.accounts.open_guest().await.unwrap();
}
