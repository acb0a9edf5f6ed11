//! What may come in as an access token, and what must hold whatever comes.
//!
//! Run by `make fuzz` without end and by `tests/it/fuzz.rs` over the corpus; part of no other path.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::key::SigningKey;
use super::role::{Role, Roles};
use super::token::{AccessTokens, Claims, LONG_TOKEN_SECONDS};
use crate::clock::Clock;
use crate::domain::Millis;
use crate::domain::id::CustomerId;

const NOW: Millis = Millis(1_800_000_000_000);

struct Forge {
    key: SigningKey,
    pair: Ed25519KeyPair,
    tokens: AccessTokens,
    /// A token that is good, and what it says.
    genuine: (String, Claims),
}

static FORGE: LazyLock<Option<Forge>> = LazyLock::new(|| {
    // Always the same key, so that a corpus keeps its meaning.
    let clock = Clock::simulated(7, NOW);
    let key = SigningKey::ephemeral(&clock)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.private_der()).ok()?;
    let tokens = AccessTokens::new(&key);
    let roles = Roles::SHOPPER.with(Role::Seller);
    let claims = Claims::new(
        &clock,
        CustomerId(clock.new_id()),
        roles,
        Some(clock.new_id()),
        900,
    );
    let token = tokens.sign(&claims).ok()?.expose().to_owned();
    Some(Forge {
        key,
        pair,
        tokens,
        genuine: (token, claims),
    })
});

/// A token: a first byte that says how it is made. It is taken only if this shop would have written
/// it: signed with its key, under its own header and no other, every claim in order.
///
/// * `p`: the rest is a patch of a good token, `place, byte` by `place, byte`;
/// * `s`: the rest is a header and claims with a NUL between, signed with the true key: what only a
///   bug of ours could sign;
/// * otherwise all of it is the token.
///
/// # Panics
/// When that does not hold.
pub fn access_token(bytes: &[u8]) {
    let Some(forge) = &*FORGE else {
        unreachable!("a key can be made");
    };
    match bytes.split_first() {
        Some((b'p', patch)) => patched(forge, patch),
        Some((b's', parts)) => signed(forge, parts),
        _ => {
            if let Ok(token) = std::str::from_utf8(bytes) {
                judge(forge, token);
            }
        }
    }
}

fn patched(forge: &Forge, patch: &[u8]) {
    let mut token = forge.genuine.0.clone().into_bytes();
    for change in patch.chunks_exact(2) {
        // Two letters a step: every byte of the token can be reached.
        let at = usize::from(change[0]) * token.len() / 256;
        if let Some(byte) = token.get_mut(at) {
            *byte = change[1];
        }
    }
    if let Ok(token) = String::from_utf8(token) {
        judge(forge, &token);
    }
}

fn signed(forge: &Forge, parts: &[u8]) {
    let mut parts = parts.splitn(2, |byte| *byte == 0);
    let (header, claims) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = forge.pair.sign(message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    judge(forge, &token);
}

/// Who wrote a token and for whom.
#[derive(Deserialize)]
struct Told {
    iss: String,
    aud: String,
}

fn judge(forge: &Forge, token: &str) {
    let Ok(claims) = forge.tokens.read(token, NOW) else {
        assert!(token != forge.genuine.0, "a good token is taken");
        return;
    };
    if token == forge.genuine.0 {
        assert_eq!(claims, forge.genuine.1);
    }
    // What was taken, looked at again by hand.
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!(parts.len(), 3, "{token}");
    let part = |at: usize| {
        URL_SAFE_NO_PAD
            .decode(parts[at])
            .unwrap_or_else(|error| panic!("{error}: {token}"))
    };
    let message = &token[..parts[0].len() + 1 + parts[1].len()];
    let verified =
        UnparsedPublicKey::new(&ED25519, forge.key.public_bytes()).verify(message.as_bytes(), &part(2));
    assert!(verified.is_ok(), "not signed by us: {token}");
    let header: Option<Value> = serde_json::from_slice(&part(0)).ok();
    let ours = json!({"typ": "at+jwt", "alg": "EdDSA", "kid": forge.key.id()});
    assert_eq!(header, Some(ours), "not our header");
    // What we do not know of the claims may nest deeper than a reader of all of them would go.
    let told: Option<Told> = serde_json::from_slice(&part(1)).ok();
    let told = told.map(|told| (told.iss, told.aud));
    assert_eq!(told, Some(("globalshop".to_owned(), "globalshop".to_owned())));
    let lifetime = claims.exp.checked_sub(claims.iat);
    assert!(lifetime.is_some_and(|seconds| (1..=LONG_TOKEN_SECONDS).contains(&seconds)));
    assert!(claims.expires_at() > NOW, "expired: {claims:?}");
    assert!(claims.nbf <= NOW.0 / 1_000 + 60, "not yet: {claims:?}");
    let again = forge.tokens.sign(&claims);
    let again = again.map(|token| forge.tokens.read(token.expose(), NOW));
    assert_eq!(again.ok(), Some(Ok(claims)), "claims mean what they meant");
}
