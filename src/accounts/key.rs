//! The signing key: one private file in the data folder, and everything derived from it.
//!
//! The file is PKCS#8 (DER, RFC 8410), readable by its owner only, and made once: whoever wins the
//! race to create it, everybody reads the same key. So tokens, signed links and CSRF tokens survive
//! a restart. Losing the file signs everybody out and breaks the links in old mails; nothing else.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::json;
use thiserror::Error;

use super::secret::sha256;
use crate::clock::Clock;
use crate::domain::id::OrderId;

/// The name of the file in the data folder.
const FILE: &str = "signing-key.pk8";

/// What stands before the 32 secret bytes of an Ed25519 key in PKCS#8 (RFC 8410 §7).
const PKCS8_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why there is no signing key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot {doing} the signing key {path}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else may read the file.
    #[error("the signing key {path} is readable by others; make it private (chmod 600) or replace it")]
    TooOpen {
        /// The file.
        path: PathBuf,
    },
    /// The file is not an Ed25519 private key.
    #[error("{path} is not an Ed25519 private key in PKCS#8")]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
}

/// The node's private key, and what is derived from it. Never prints.
#[derive(Clone)]
pub struct SigningKey {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
    id: String,
}

impl SigningKey {
    /// Reads the key of the data folder `folder`, which must exist; makes one if there is none.
    ///
    /// # Errors
    /// When the file cannot be read or written, is open to others, or holds no key.
    pub fn load_or_create(folder: &Path, clock: &Clock) -> Result<Self, KeyError> {
        let path = folder.join(FILE);
        match Self::load(&path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(&path, clock)?;
                Self::load(&path)
            }
            loaded => loaded,
        }
    }

    /// Reads the key of a data folder that a node has used before; never makes one.
    ///
    /// # Errors
    /// When the file is absent, cannot be read, is open to others, or holds no key.
    pub fn of_used_folder(folder: &Path) -> Result<Self, KeyError> {
        Self::load(&folder.join(FILE))
    }

    fn load(path: &Path) -> Result<Self, KeyError> {
        let io_error = |source| KeyError::Io {
            doing: "read",
            path: path.to_owned(),
            source,
        };
        let mode = fs::metadata(path).map_err(io_error)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen {
                path: path.to_owned(),
            });
        }
        let pkcs8 = fs::read(path).map_err(io_error)?;
        Self::from_pkcs8(pkcs8).ok_or_else(|| KeyError::NotAKey {
            path: path.to_owned(),
        })
    }

    fn from_pkcs8(pkcs8: Vec<u8>) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).ok()?;
        let public = pair.public_key().as_ref().to_vec();
        // RFC 7638: the thumbprint names the key by what it is.
        let canonical = format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            URL_SAFE_NO_PAD.encode(&public)
        );
        let id = URL_SAFE_NO_PAD.encode(sha256(&canonical));
        Some(Self { pkcs8, public, id })
    }

    /// A key that lives in memory only: for tests and simulations.
    #[must_use]
    pub fn ephemeral(clock: &Clock) -> Option<Self> {
        Self::from_pkcs8(fresh_pkcs8(clock))
    }

    /// The name of the key in token headers and in the JWKS.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half as a JSON Web Key Set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        json!({"keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "x": URL_SAFE_NO_PAD.encode(&self.public),
            "kid": self.id,
            "use": "sig",
            "alg": "EdDSA",
        }]})
    }

    pub(super) fn private_der(&self) -> &[u8] {
        &self.pkcs8
    }

    pub(super) fn public_bytes(&self) -> &[u8] {
        &self.public
    }

    /// A key for one purpose: HMAC of its label under the private key, as in NIST SP 800-108.
    pub(super) fn derive(&self, label: &str) -> hmac::Key {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &self.pkcs8);
        let derived = hmac::sign(&root, label.as_bytes());
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    /// The maker and checker of signed order links.
    #[must_use]
    pub fn order_links(&self) -> OrderLinks {
        OrderLinks(self.derive("globalshop/order-link/1"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes the file whole or not at all: written beside, made durable, then linked into place. A link
/// fails where a rename would replace a key that another process has just made.
fn create(path: &Path, clock: &Clock) -> Result<(), KeyError> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let draft = folder.join(format!(".{FILE}.{}", clock.new_id()));
    let made = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(&fresh_pkcs8(clock))?;
        file.sync_all()?;
        match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        }?;
        File::open(folder)?.sync_all()
    })();
    // A draft that stays behind is private and harmless; the error that matters is the first one.
    let _ = fs::remove_file(&draft);
    made.map_err(|source| KeyError::Io {
        doing: "create",
        path: path.to_owned(),
        source,
    })
}

fn fresh_pkcs8(clock: &Clock) -> Vec<u8> {
    let mut pkcs8 = PKCS8_HEAD.to_vec();
    pkcs8.resize(PKCS8_HEAD.len() + 32, 0);
    clock.fill_random(&mut pkcs8[PKCS8_HEAD.len()..]);
    pkcs8
}

/// Makes and checks the key of `/orders/{id}?key=`: who holds it may see that one order.
#[derive(Clone)]
pub struct OrderLinks(hmac::Key);

impl OrderLinks {
    /// The key of `order`'s link.
    #[must_use]
    pub fn key(&self, order: OrderId) -> String {
        let tag = hmac::sign(&self.0, order.0.as_bytes());
        URL_SAFE_NO_PAD.encode(tag)
    }

    /// Whether `key` is the key of `order`'s link; takes the same time whatever is wrong with it.
    #[must_use]
    pub fn verify(&self, order: OrderId, key: &str) -> bool {
        URL_SAFE_NO_PAD
            .decode(key)
            .is_ok_and(|tag| hmac::verify(&self.0, order.0.as_bytes(), &tag).is_ok())
    }
}

impl fmt::Debug for OrderLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OrderLinks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test alone, removed when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn fresh() -> Self {
            let path = std::env::temp_dir().join(format!("globalshop-{}", Clock::system().new_id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let (folder, clock) = (Folder::fresh(), Clock::system());
        let keys: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| SigningKey::load_or_create(&folder.0, &clock).unwrap()))
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| key.id() == keys[0].id()));
        let files: Vec<_> = fs::read_dir(&folder.0).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1, "no draft stays behind");
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_open_or_broken_file_is_refused() {
        let (folder, clock) = (Folder::fresh(), Clock::system());
        SigningKey::load_or_create(&folder.0, &clock).unwrap();
        let path = folder.0.join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = SigningKey::load_or_create(&folder.0, &clock);
        assert!(matches!(open, Err(KeyError::TooOpen { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "not a key").unwrap();
        let broken = SigningKey::load_or_create(&folder.0, &clock);
        assert!(matches!(broken, Err(KeyError::NotAKey { .. })));
    }

    #[test]
    fn an_order_link_opens_its_order_only() {
        let clock = Clock::system();
        let links = SigningKey::ephemeral(&clock).unwrap().order_links();
        let (mine, other) = (OrderId(clock.new_id()), OrderId(clock.new_id()));
        let key = links.key(mine);
        assert!(links.verify(mine, &key));
        assert!(!links.verify(other, &key));
        for bad in ["", "x", &key[1..], &format!("{key}A"), "\0", "ключ"] {
            assert!(!links.verify(mine, bad));
        }
        let elsewhere = SigningKey::ephemeral(&clock).unwrap().order_links();
        assert!(!elsewhere.verify(mine, &key));
    }

    #[test]
    fn the_private_key_does_not_print() {
        let key = SigningKey::ephemeral(&Clock::system()).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey {{ id: {:?}, .. }}", key.id())
        );
    }
}
