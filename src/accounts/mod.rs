//! Who you are: customers, credentials, sessions and tokens. Ordinary rows.
