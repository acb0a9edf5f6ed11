//! Every kind of problem, in one table. Their names are part of the contract and never change.

/// A kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// The last part of its URI.
    pub slug: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// The status it is answered with.
    pub status: u16,
    /// A sentence or two: what it means and what to do.
    pub explanation: &'static str,
}

impl Kind {
    /// The stable relative reference.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("/problems/{}", self.slug)
    }

    /// The kind with this slug.
    #[must_use]
    pub fn find(slug: &str) -> Option<&'static Self> {
        ALL.iter().find(|kind| kind.slug == slug).copied()
    }
}

macro_rules! kinds {
    ($($name:ident: $status:literal $slug:literal $title:literal, $explanation:literal;)*) => {
        $(
            #[doc = $explanation]
            pub static $name: Kind = Kind {
                slug: $slug,
                title: $title,
                status: $status,
                explanation: $explanation,
            };
        )*

        /// All of them, by status.
        pub static ALL: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    MALFORMED: 400 "malformed-request" "Malformed request",
        "The body, the query or a header cannot be read.";
    KEY_MISSING: 400 "idempotency-key-missing" "Idempotency key missing",
        "This call needs one Idempotency-Key header of 1 to 255 printable ASCII characters, so that a repetition has no second effect.";

    UNAUTHENTICATED: 401 "unauthenticated" "Not signed in",
        "This call needs an access token or a session.";
    BAD_TOKEN: 401 "invalid-token" "Token not accepted",
        "The access token is expired, ended or not one of this shop. Refresh it or sign in again.";
    WRONG_CREDENTIALS: 401 "wrong-credentials" "Wrong credentials",
        "Unknown e-mail or wrong password.";
    BAD_REFRESH_TOKEN: 401 "invalid-refresh-token" "Refresh token not accepted",
        "The refresh token is unknown, expired or used. Sign in again.";
    BAD_SIGNATURE: 401 "bad-signature" "Signature not accepted",
        "The webhook is not signed with the shared secret, or its timestamp is more than five minutes away.";

    FORBIDDEN: 403 "forbidden" "Not for this role",
        "You are known, but you do not have the role this call needs.";
    FORGED: 403 "cross-site-request" "Cross-site request",
        "A call with a session cookie that changes something needs a same-origin Origin header and the session's CSRF token.";

    NOT_FOUND: 404 "not-found" "Not found",
        "There is nothing here, or nothing for you.";

    METHOD_NOT_ALLOWED: 405 "method-not-allowed" "Method not allowed",
        "This address does not know the method; the Allow header names those it knows.";

    TOO_SLOW: 408 "request-timeout" "Request timed out",
        "The body did not arrive in time.";

    IN_FLIGHT: 409 "request-in-flight" "Still in flight",
        "A request with this Idempotency-Key is being worked on. Ask again in a moment with the same key.";
    ALREADY_EXISTS: 409 "already-exists" "Already there",
        "There is already something under this name.";
    EMAIL_TAKEN: 409 "email-taken" "E-mail already registered",
        "This e-mail already has an account. Sign in, or reset the password.";
    CART_EMPTY: 409 "cart-empty" "Cart is empty",
        "There is nothing in the cart to check out.";
    CART_FULL: 409 "cart-full" "Cart is full",
        "The cart cannot take more different products.";
    CART_CHANGED: 409 "cart-changed" "Cart has changed",
        "The cart changed while it was being checked out. Look at it again.";
    TOTAL_CHANGED: 409 "total-changed" "Total has changed",
        "The order would cost something else than expected; `total` says what.";
    NOT_FOR_SALE: 409 "not-for-sale" "No longer sold",
        "A product in the cart is no longer sold. Remove it to go on.";
    OUT_OF_STOCK: 409 "out-of-stock" "Out of stock",
        "There are not enough units.";
    UNITS_TAKEN: 409 "units-taken" "Units are held or sold",
        "The stock cannot go below what is held or sold, nor above what can be counted.";
    WRONG_STATUS: 409 "wrong-order-status" "Not at this point of the order",
        "The order is at a point at which this step is not possible.";
    NOTHING_TO_CONFIRM: 409 "nothing-to-confirm" "Nothing to confirm",
        "The payment does not wait for a confirmation.";
    REFUND_TOO_LARGE: 409 "refund-too-large" "Refund too large",
        "More than what was captured and not yet refunded; `refundable` says how much can be.";

    STALE: 412 "version-mismatch" "Changed in the meantime",
        "Somebody changed it since the version you name in If-Match; `version` is the current one.";

    TOO_LARGE: 413 "body-too-large" "Body too large",
        "The body is larger than this call takes.";
    URI_TOO_LONG: 414 "uri-too-long" "Address too long",
        "The address is longer than 8 KiB.";
    WRONG_MEDIA_TYPE: 415 "unsupported-media-type" "Media type not supported",
        "This call takes another media type, in UTF-8 and not compressed.";

    INVALID_INPUT: 422 "invalid-input" "Input not valid",
        "The request was understood, but breaks rules; `errors` lists them.";
    KEY_REUSED: 422 "idempotency-key-reused" "Idempotency key used for something else",
        "The same Idempotency-Key came before with another body. Use a new key for a new request.";

    VERSION_REQUIRED: 428 "version-required" "Version required",
        "This call needs If-Match with the version you saw, such as \"v3\", so that nobody's change is lost.";
    TOO_MANY: 429 "too-many-requests" "Too many requests",
        "You are faster than the limit in the RateLimit-Policy header. Retry-After says when to go on.";
    HEAD_TOO_LARGE: 431 "header-fields-too-large" "Header too large",
        "The header fields are larger than 16 KiB or more than 100.";

    INTERNAL: 500 "internal" "Something went wrong",
        "The shop made a mistake. It is noted under the trace_id.";
    OVERLOADED: 503 "overloaded" "Too busy",
        "The shop has more to do than it can take on. Nothing was done; try again after a moment.";
    UNAVAILABLE: 503 "unavailable" "Not available for a moment",
        "A part of the shop is recovering. Try again after a moment, with the same Idempotency-Key where there is one.";
    OUTCOME_UNKNOWN: 503 "outcome-unknown" "Outcome unknown",
        "It is not known whether this was done. Ask again with the same Idempotency-Key: it is done once at most.";
    DISK_FULL: 503 "disk-full" "No room on the disk",
        "The shop's disk is full, so nothing new is taken; what is there can be read. Nothing was done. It goes on by itself when there is room.";
    NOT_READY: 503 "not-ready" "Not ready",
        "The node is not ready to serve; `missing` says what it waits for.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_statuses_are_faults() {
        let mut slugs: Vec<_> = ALL.iter().map(|kind| kind.slug).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), ALL.len());
        assert!(ALL.iter().all(|kind| (400..600).contains(&kind.status)));
        assert!(ALL.is_sorted_by_key(|kind| kind.status));
        assert_eq!(Kind::find("not-found"), Some(&NOT_FOUND));
    }
}
