//! Ed25519 on `ring` for `jsonwebtoken`.
//!
//! The library's own backends bring the `rsa` crate (RUSTSEC-2023-0071) or a C build; `ring` is in
//! the binary for TLS anyway. This provider knows one algorithm, so no header can talk it into
//! another.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind, new_error};
use jsonwebtoken::signature::{Error as SignatureError, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory,
    verifier_factory,
    // Used for JWK conversions only, which we write ourselves.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes this provider the process's own. Saying it again changes nothing.
pub(super) fn install() {
    // The only error is that a provider is there already, and nothing else here installs one.
    let _ = PROVIDER.install_default();
}

fn signer_factory(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    only_eddsa(*algorithm)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes())
        .map_err(|_| new_error(ErrorKind::InvalidEddsaKey))?;
    Ok(Box::new(Ed25519Signer(pair)))
}

fn verifier_factory(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    only_eddsa(*algorithm)?;
    let public = key.try_get_as_bytes()?.to_vec();
    Ok(Box::new(Ed25519Verifier(public)))
}

fn only_eddsa(algorithm: Algorithm) -> Result<(), JwtError> {
    if algorithm == Algorithm::EdDSA {
        Ok(())
    } else {
        Err(new_error(ErrorKind::UnsupportedAlgorithm))
    }
}

struct Ed25519Signer(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct Ed25519Verifier(Vec<u8>);

impl Verifier<Vec<u8>> for Ed25519Verifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519Verifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
