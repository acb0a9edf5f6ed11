//! Access tokens: JWT (RFC 7519) in the profile of RFC 9068, signed with Ed25519.
//!
//! A token is taken only if it is one this shop would write: exactly our header (so no `jku`, `jwk`,
//! `x5u`, `crit` or foreign `kid` is ever looked at), the one algorithm, every claim present and of
//! its type, and a lifetime we would give. Whether its session still stands is not known here.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::key::SigningKey;
use super::provider;
use super::refusal::{Fault, TokenRefusal};
use super::role::Roles;
use super::secret::Secret;
use crate::clock::Clock;
use crate::domain::Millis;
use crate::domain::id::CustomerId;

/// Longer tokens are refused unread.
pub(super) const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// How far another machine's clock may be ahead of ours. Only `nbf` and `iat` are given it: an
/// expired token is expired.
const SKEW_SECONDS: i64 = 60;

/// The longest life of any token: what `globalshop token` prints.
pub const LONG_TOKEN_SECONDS: i64 = 12 * 60 * 60;

const ISSUER: &str = "globalshop";
const AUDIENCE: &str = "globalshop";
const TYPE: &str = "at+jwt";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) aud: String,
    pub(super) sub: CustomerId,
    pub(super) exp: i64,
    pub(super) nbf: i64,
    pub(super) iat: i64,
    pub(super) jti: Uuid,
    pub(super) roles: Roles,
    /// The session it ends with; a token from the command line has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<Uuid>,
}

impl Claims {
    pub(super) fn new(
        clock: &Clock,
        customer: CustomerId,
        roles: Roles,
        session: Option<Uuid>,
        lifetime_seconds: i64,
    ) -> Self {
        let now = seconds(clock.now());
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: customer,
            exp: now + lifetime_seconds,
            nbf: now,
            iat: now,
            jti: clock.new_id(),
            roles,
            sid: session,
        }
    }

    /// The first moment at which the token is no longer good.
    pub(super) fn expires_at(&self) -> Millis {
        Millis(self.exp.saturating_mul(1_000))
    }
}

fn seconds(at: Millis) -> i64 {
    at.0.div_euclid(1_000)
}

/// Times are judged by our own clock, so the library is told to leave them alone.
static VALIDATION: LazyLock<Validation> = LazyLock::new(|| {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
    validation
});

/// Signs and reads access tokens with one key.
pub(super) struct AccessTokens {
    header: Header,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl AccessTokens {
    pub(super) fn new(key: &SigningKey) -> Self {
        provider::install();
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(key.id().to_owned());
        Self {
            header,
            encoding: EncodingKey::from_ed_der(key.private_der()),
            decoding: DecodingKey::from_ed_der(key.public_bytes()),
        }
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<Secret, Fault> {
        jsonwebtoken::encode(&self.header, claims, &self.encoding)
            .map(Secret::new)
            .map_err(|error| Fault::Crypto {
                doing: "sign a token",
                detail: error.to_string(),
            })
    }

    /// Reads a token as of `now`.
    pub(super) fn read(&self, token: &str, now: Millis) -> Result<Claims, TokenRefusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenRefusal::NotOurs);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenRefusal::NotOurs)?;
        if header != self.header {
            return Err(TokenRefusal::NotOurs);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &VALIDATION)
            .map_err(|_| TokenRefusal::NotOurs)?
            .claims;
        judge_times(&claims, seconds(now))?;
        Ok(claims)
    }
}

fn judge_times(claims: &Claims, now: i64) -> Result<(), TokenRefusal> {
    let lifetime = claims.exp.checked_sub(claims.iat).ok_or(TokenRefusal::NotOurs)?;
    if !(1..=LONG_TOKEN_SECONDS).contains(&lifetime) {
        return Err(TokenRefusal::NotOurs);
    }
    if claims.exp <= now {
        return Err(TokenRefusal::Expired);
    }
    if claims.nbf > now + SKEW_SECONDS || claims.iat > now + SKEW_SECONDS {
        return Err(TokenRefusal::NotYet);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::role::Role;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;
    use ring::hmac;
    use ring::signature::Ed25519KeyPair;
    use serde_json::{Value, json};

    const NOW: Millis = Millis(1_800_000_000_000);

    struct Forge {
        key: SigningKey,
        tokens: AccessTokens,
        clock: Clock,
    }

    impl Forge {
        fn new() -> Self {
            let clock = Clock::system();
            let key = SigningKey::ephemeral(&clock).unwrap();
            let tokens = AccessTokens::new(&key);
            Self { key, tokens, clock }
        }

        fn claims(&self) -> Value {
            let now = seconds(NOW);
            json!({
                "iss": ISSUER, "aud": AUDIENCE, "sub": self.clock.new_id(), "exp": now + 900,
                "nbf": now, "iat": now, "jti": self.clock.new_id(), "roles": ["shopper"],
                "sid": self.clock.new_id(),
            })
        }

        fn header(&self) -> Value {
            json!({"typ": TYPE, "alg": "EdDSA", "kid": self.key.id()})
        }

        /// Signs any text with the true key: what only a thief of the key, or a bug, could make.
        fn sign_text(&self, header: &str, claims: &str) -> String {
            let message = format!(
                "{}.{}",
                URL_SAFE_NO_PAD.encode(header),
                URL_SAFE_NO_PAD.encode(claims)
            );
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(self.key.private_der()).unwrap();
            let signature = pair.sign(message.as_bytes());
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
        }

        fn sign(&self, header: &Value, claims: &Value) -> String {
            self.sign_text(&header.to_string(), &claims.to_string())
        }

        fn read(&self, token: &str) -> Result<Claims, TokenRefusal> {
            self.tokens.read(token, NOW)
        }
    }

    fn with(mut object: Value, key: &str, value: Value) -> Value {
        object[key] = value;
        object
    }

    fn without(mut object: Value, key: &str) -> Value {
        object.as_object_mut().unwrap().shift_remove(key);
        object
    }

    #[test]
    fn what_is_signed_is_read_again() {
        let forge = Forge::new();
        let clock = Clock::simulated(1, NOW);
        let customer = CustomerId(clock.new_id());
        let claims = Claims::new(&clock, customer, Roles::SHOPPER.with(Role::Seller), None, 900);
        let token = forge.tokens.sign(&claims).unwrap();
        assert_eq!(forge.read(token.expose()), Ok(claims));
        assert!(forge.read(&forge.sign(&forge.header(), &forge.claims())).is_ok());
    }

    /// The set of RFC 8725 and of `docs`: each header but ours is refused, signed with the true key
    /// or not.
    #[test]
    fn only_our_header_is_read() {
        let forge = Forge::new();
        let (header, claims) = (forge.header(), forge.claims());
        let jwk = forge.key.jwks()["keys"][0].clone();
        let bad = [
            with(header.clone(), "alg", json!("none")),
            with(header.clone(), "alg", json!("None")),
            with(header.clone(), "alg", json!("HS256")),
            with(header.clone(), "alg", json!("ES256")),
            with(header.clone(), "alg", json!("RS256")),
            with(header.clone(), "alg", json!("eddsa")),
            with(header.clone(), "alg", json!(null)),
            without(header.clone(), "alg"),
            with(header.clone(), "typ", json!("JWT")),
            without(header.clone(), "typ"),
            without(header.clone(), "kid"),
            with(header.clone(), "kid", json!("../../etc/passwd")),
            with(header.clone(), "kid", json!("' or 1=1 --")),
            with(header.clone(), "kid", json!("k".repeat(4_000))),
            with(header.clone(), "jku", json!("https://evil.example/jwks.json")),
            with(header.clone(), "x5u", json!("https://evil.example/x5u")),
            with(header.clone(), "x5c", json!(["AAAA"])),
            with(header.clone(), "jwk", jwk),
            with(header.clone(), "crit", json!(["exp"])),
            with(header.clone(), "b64", json!(false)),
            with(header.clone(), "zip", json!("DEF")),
            with(header, "cty", json!("JWT")),
            json!([]),
            json!("EdDSA"),
            json!(null),
        ];
        for header in bad {
            let token = forge.sign(&header, &claims);
            assert_eq!(forge.read(&token), Err(TokenRefusal::NotOurs), "{header}");
        }
        let twice = format!(
            r#"{{"typ":"{TYPE}","alg":"none","alg":"EdDSA","kid":"{}"}}"#,
            forge.key.id()
        );
        let token = forge.sign_text(&twice, &claims.to_string());
        assert_eq!(forge.read(&token), Err(TokenRefusal::NotOurs));
    }

    #[test]
    fn every_claim_is_needed_and_has_its_type() {
        let forge = Forge::new();
        let claims = forge.claims();
        let now = seconds(NOW);
        let mut bad: Vec<(Value, TokenRefusal)> = Vec::new();
        for needed in ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "roles"] {
            bad.push((without(claims.clone(), needed), TokenRefusal::NotOurs));
            for value in [
                json!(null),
                json!({}),
                json!([[]]),
                json!(true),
                json!("x"),
                json!(-1),
                json!(1e300),
            ] {
                bad.push((with(claims.clone(), needed, value), TokenRefusal::NotOurs));
            }
        }
        let also = [
            ("iss", json!("https://elsewhere.example"), TokenRefusal::NotOurs),
            ("iss", json!([ISSUER, "other"]), TokenRefusal::NotOurs),
            ("aud", json!([AUDIENCE]), TokenRefusal::NotOurs),
            ("exp", json!((now + 900).to_string()), TokenRefusal::NotOurs),
            ("exp", json!(now as f64 + 900.5), TokenRefusal::NotOurs),
            ("exp", json!(i64::MAX), TokenRefusal::NotOurs),
            ("exp", json!(u64::MAX), TokenRefusal::NotOurs),
            ("exp", json!(now + LONG_TOKEN_SECONDS + 1), TokenRefusal::NotOurs),
            ("iat", json!(i64::MIN), TokenRefusal::NotOurs),
            ("roles", json!(["root"]), TokenRefusal::NotOurs),
            ("sid", json!(7), TokenRefusal::NotOurs),
            ("sub", json!("operator"), TokenRefusal::NotOurs),
            ("nbf", json!(now + SKEW_SECONDS + 1), TokenRefusal::NotYet),
        ];
        for (claim, value, refusal) in also {
            bad.push((with(claims.clone(), claim, value), refusal));
        }
        for (claims, refusal) in bad {
            let token = forge.sign(&forge.header(), &claims);
            assert_eq!(forge.read(&token), Err(refusal), "{claims}");
        }
        let twice = claims.to_string().replacen('{', r#"{"roles":["operator"],"#, 1);
        let token = forge.sign_text(&forge.header().to_string(), &twice);
        assert_eq!(forge.read(&token), Err(TokenRefusal::NotOurs));
        let deep = with(claims, "x", Value::Null)
            .to_string()
            .replace("null", &"[".repeat(2_000));
        let token = forge.sign_text(&forge.header().to_string(), &deep);
        assert_eq!(forge.read(&token), Err(TokenRefusal::NotOurs));
    }

    #[test]
    fn time_is_exact_for_exp_and_lenient_for_nbf() {
        let forge = Forge::new();
        let token = forge.sign(&forge.header(), &forge.claims());
        let at = |delta: i64| forge.tokens.read(&token, NOW.plus_seconds(delta)).map(drop);
        assert_eq!(at(899), Ok(()));
        assert_eq!(at(900), Err(TokenRefusal::Expired));
        assert_eq!(at(-SKEW_SECONDS), Ok(()));
        assert_eq!(at(-SKEW_SECONDS - 1), Err(TokenRefusal::NotYet));
    }

    #[test]
    fn other_shapes_and_other_keys_are_refused() {
        let forge = Forge::new();
        let token = forge.sign(&forge.header(), &forge.claims());
        let message = token.rsplit_once('.').unwrap().0;
        // HS256 with the public key as its secret.
        let header = with(forge.header(), "alg", json!("HS256"));
        let confused = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(forge.claims().to_string())
        );
        let secret = hmac::Key::new(hmac::HMAC_SHA256, forge.key.public_bytes());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&secret, confused.as_bytes()));
        let stranger = Forge::new();
        let bad = [
            String::new(),
            ".".to_owned(),
            "..".to_owned(),
            "....".to_owned(),
            message.to_owned(),
            format!("{message}."),
            format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
            format!("{message}.{}", URL_SAFE_NO_PAD.encode([0; 3])),
            format!("{token}."),
            format!("{token}="),
            format!(" {token}"),
            format!("{token}\0"),
            format!("{token}.a.b"),
            format!("a.{token}"),
            format!("{confused}.{tag}"),
            stranger.sign(&forge.header(), &forge.claims()),
            format!("{token}{}", "A".repeat(TOKEN_BYTES_MAX)),
            "A".repeat(1_000_000),
        ];
        for token in bad {
            assert_eq!(forge.read(&token), Err(TokenRefusal::NotOurs), "{:.80}", token);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Any one byte changed, anywhere, and the token is refused.
        #[test]
        fn a_changed_token_is_refused(at in 0_usize..4_096, byte in 0x20_u8..0x7f) {
            let forge = Forge::new();
            let token = forge.sign(&forge.header(), &forge.claims());
            let mut changed = token.into_bytes();
            let at = at % changed.len();
            prop_assume!(changed[at] != byte);
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            prop_assert_eq!(forge.read(&changed), Err(TokenRefusal::NotOurs));
        }

        /// Any text at all is refused without a panic.
        #[test]
        fn any_text_is_refused(text in ".{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_=-]{0,60}", 0..6)) {
            let forge = Forge::new();
            prop_assert!(forge.read(&text).is_err());
            prop_assert!(forge.read(&parts.join(".")).is_err());
        }

        /// Any claims, even signed with the true key, are refused or read without a panic.
        #[test]
        fn any_numbers_are_judged(exp in any::<i64>(), nbf in any::<i64>(), iat in any::<i64>()) {
            let forge = Forge::new();
            let mut claims = forge.claims();
            for (name, value) in [("exp", exp), ("nbf", nbf), ("iat", iat)] {
                claims[name] = json!(value);
            }
            if let Ok(read) = forge.read(&forge.sign(&forge.header(), &claims)) {
                prop_assert!(read.exp > seconds(NOW) && read.exp - read.iat <= LONG_TOKEN_SECONDS);
            }
        }
    }
}
