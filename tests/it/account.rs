//! Accounts on a real PostgreSQL, through the one door the edge uses.

mod password;
mod session;

use std::sync::Arc;
use std::time::Duration;

use globalshop::accounts::{
    AccountError, AccountSettings, Accounts, Caller, Fault, Refusal, Registration, Role, Roles, Secret,
    SignedIn, SigningKey, TokenRefusal,
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
