//! Settings: `cluster.toml` and the environment, typed, validated once, immutable after.
//!
//! The committed `cluster.toml` is compiled in, so the documented defaults are the defaults.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use figment::Figment;
use figment::error::Kind as Wrong;
use figment::providers::{Env, Format as _, Toml};
use serde::Deserialize;

use crate::cluster::MembershipSettings;
use crate::domain::quote::Tariff;
use crate::domain::{Currency, ShardCount};
use crate::journal::Takeover;

/// The defaults, as documented.
const DEFAULTS: &str = include_str!("../cluster.toml");
/// Environment variables begin like this; sections and keys are separated by two underscores.
const PREFIX: &str = "GLOBALSHOP_";
/// Variables with the prefix that are no settings.
const NOT_SETTINGS: [&str; 5] = ["bin", "data", "test_database", "dev_database", "log"];

/// All settings of a node.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The node.
    pub node: NodeSettings,
    /// The journal.
    pub journal: JournalSettings,
    /// The cluster.
    pub cluster: ClusterSettings,
    /// The shop.
    pub shop: ShopSettings,
    /// Mail.
    pub mail: MailSettings,
    /// Limits at the edge.
    pub limits: LimitSettings,
    /// Metrics.
    pub metrics: MetricsSettings,
}

/// `[node]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSettings {
    /// The name under which it holds shards.
    pub name: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What the outside calls it.
    pub public_url: String,
    /// Proxies before it whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

/// `[journal]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalSettings {
    /// An external PostgreSQL; `None` for the embedded one.
    #[serde(default)]
    pub database: Option<String>,
    /// How many shards.
    pub shards: u16,
    /// How much room is to be left on the disk of the embedded database, in MiB.
    pub reserve_mb: u64,
}

impl std::fmt::Debug for JournalSettings {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournalSettings")
            .field("external", &self.database.is_some())
            .field("shards", &self.shards)
            .finish()
    }
}

/// `[cluster]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSettings {
    /// Whether no other node works on this journal.
    pub alone: bool,
    /// How long a heartbeat counts, in milliseconds.
    pub lease_ms: u64,
    /// How often the heart beats, in milliseconds.
    pub renewal_ms: u64,
}

/// `[shop]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopSettings {
    /// Its name.
    pub name: String,
    /// Its one currency.
    pub currency: Currency,
    /// Tax contained in every price, hundredths of a percent.
    pub tax_rate: u32,
    /// Standard shipping, minor units.
    pub standard_shipping: i64,
    /// Standard shipping is free from this subtotal.
    pub free_shipping_from: i64,
    /// Express shipping, minor units.
    pub express_shipping: i64,
    /// The imprint page.
    pub imprint: String,
    /// The privacy page.
    pub privacy: String,
    /// The returns page.
    pub returns: String,
}

impl ShopSettings {
    /// The rules the shop quotes by.
    #[must_use]
    pub const fn tariff(&self) -> Tariff {
        Tariff {
            currency: self.currency,
            tax_rate: self.tax_rate,
            standard: self.standard_shipping,
            free_from: self.free_shipping_from,
            express: self.express_shipping,
        }
    }
}

/// `[mail]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailSettings {
    /// The sender.
    pub from: String,
    /// `smtp://` or `smtps://` with user and password; `None` for the local mailbox.
    #[serde(default)]
    pub smtp: Option<String>,
}

impl std::fmt::Debug for MailSettings {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSettings")
            .field("from", &self.from)
            .field("smtp", &self.smtp.is_some())
            .finish()
    }
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// Requests at the same time.
    pub in_flight: usize,
    /// Requests that wait to be let in.
    pub waiting: usize,
    /// How long one waits at most, in milliseconds.
    pub wait_ms: u64,
    /// How long a typical request may take before fewer are let in, in milliseconds.
    pub slow_ms: u64,
    /// Connections in all.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// How long what is written may wait for the other side to read it, in milliseconds.
    pub write_stall_ms: u64,
    /// Requests a second from one address.
    pub per_address: u32,
    /// Requests at once from one address.
    pub per_address_burst: u32,
    /// Whether loopback counts.
    pub count_loopback: bool,
}

/// `[metrics]`
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSettings {
    /// Whether `/metrics` answers others than loopback.
    pub public: bool,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFault {
    /// The file cannot be read.
    #[error("the settings file {path} cannot be read: {source}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key nobody knows.
    #[error("{place} has no setting {key:?}{hint}")]
    UnknownKey {
        /// Where it stands.
        place: String,
        /// What it is.
        key: String,
        /// The nearest one there is.
        hint: String,
    },
    /// A value that does not fit.
    #[error("{place}: {reason}")]
    BadValue {
        /// Where it stands.
        place: String,
        /// What is wrong and what would fit.
        reason: String,
    },
}

impl Settings {
    /// The defaults, overlaid with a file and the environment.
    ///
    /// # Errors
    /// [`SettingsFault`] names the place and the remedy.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsFault> {
        let env = Env::prefixed(PREFIX).split("__").filter(|key| {
            let key = key.as_str().to_ascii_lowercase();
            key.contains('.') || !NOT_SETTINGS.contains(&key.as_str())
        });
        Self::from_layers(file, env)
    }

    fn from_layers(file: Option<&Path>, env: impl figment::Provider) -> Result<Self, SettingsFault> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| SettingsFault::Unreadable {
                path: path.display().to_string(),
                source,
            })?;
            figment = figment.merge(Toml::string(&text));
        }
        let settings: Self = figment.merge(env).extract().map_err(SettingsFault::from)?;
        settings.validate()?;
        Ok(settings)
    }

    /// How many shards.
    #[must_use]
    pub fn shards(&self) -> ShardCount {
        ShardCount::new(self.journal.shards).unwrap_or(ShardCount::DEFAULT)
    }

    /// How the node keeps its place among the members.
    #[must_use]
    pub const fn membership(&self) -> MembershipSettings {
        let ClusterSettings {
            alone,
            lease_ms,
            renewal_ms,
        } = self.cluster;
        if alone {
            return MembershipSettings::ALONE;
        }
        MembershipSettings {
            takeover: Takeover::AfterExpiry,
            ttl: Duration::from_millis(lease_ms),
            renewal: Duration::from_millis(renewal_ms),
        }
    }

    fn validate(&self) -> Result<(), SettingsFault> {
        let bad = |place: &str, reason: &str| {
            Err(SettingsFault::BadValue {
                place: place.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if ShardCount::new(self.journal.shards).is_none() {
            return bad("journal.shards", "must lie between 1 and 1024");
        }
        if !(32..=1_048_576).contains(&self.journal.reserve_mb) {
            return bad("journal.reserve_mb", "must lie between 32 and 1048576");
        }
        if !self.cluster.alone && self.journal.database.is_none() {
            return bad(
                "cluster.alone",
                "can only be false with a journal.database that nodes share",
            );
        }
        if self.cluster.renewal_ms < 10 || self.cluster.lease_ms / 3 < self.cluster.renewal_ms {
            return bad(
                "cluster.renewal_ms",
                "must be at least 10, and at most a third of cluster.lease_ms",
            );
        }
        let name = &self.node.name;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || c == '.';
        if name.is_empty() || name.len() > 40 || !name.chars().all(plain) {
            return bad("node.name", "needs 1 to 40 of the characters A-Z a-z 0-9 - _ .");
        }
        if !self.node.public_url.starts_with("http://") && !self.node.public_url.starts_with("https://") {
            return bad("node.public_url", "must begin with http:// or https://");
        }
        if self.shop.tax_rate > 10_000 {
            return bad("shop.tax_rate", "is in hundredths of a percent, at most 10000");
        }
        if self.shop.standard_shipping < 0
            || self.shop.express_shipping < 0
            || self.shop.free_shipping_from < 0
        {
            return bad("shop", "shipping prices must not be negative");
        }
        let LimitSettings {
            in_flight,
            connections,
            connections_per_address,
            per_address,
            per_address_burst,
            ..
        } = self.limits;
        if [in_flight, connections, connections_per_address].contains(&0)
            || [per_address, per_address_burst].contains(&0)
        {
            return bad("limits", "must be above 0");
        }
        if !(100..=600_000).contains(&self.limits.write_stall_ms) {
            return bad("limits.write_stall_ms", "must lie between 100 and 600000");
        }
        if self.limits.waiting > 100_000 {
            return bad(
                "limits.waiting",
                "is at most 100000: whoever waits holds a connection",
            );
        }
        if self.limits.wait_ms > 5_000 {
            return bad("limits.wait_ms", "is at most 5000: then it is kinder to say no");
        }
        if !(1..=60_000).contains(&self.limits.slow_ms) {
            return bad("limits.slow_ms", "must lie between 1 and 60000");
        }
        Ok(())
    }
}

impl From<figment::Error> for SettingsFault {
    fn from(error: figment::Error) -> Self {
        let place = if error.path.is_empty() {
            "the settings".to_owned()
        } else {
            error.path.join(".")
        };
        match &error.kind {
            Wrong::UnknownField(key, known) => {
                let nearest = known
                    .iter()
                    .max_by(|a, b| strsim::jaro_winkler(key, a).total_cmp(&strsim::jaro_winkler(key, b)));
                Self::UnknownKey {
                    place,
                    key: key.clone(),
                    hint: nearest
                        .map(|near| format!("; did you mean {near:?}?"))
                        .unwrap_or_default(),
                }
            }
            kind => Self::BadValue {
                place,
                reason: kind.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use figment::providers::Serialized;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let settings = Settings::from_layers(None, Toml::string("")).unwrap();
        assert_eq!(settings.shards(), ShardCount::DEFAULT);
        assert_eq!(settings.shop.tariff(), Tariff::default());
        assert!(settings.journal.database.is_none());
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let wrong = Serialized::global("node.lisen", "127.0.0.1:1");
        let error = Settings::from_layers(None, wrong).unwrap_err().to_string();
        assert!(error.contains("lisen") && error.contains("\"listen\""), "{error}");
    }

    #[test]
    fn a_bad_value_names_its_place() {
        let error = Settings::from_layers(None, Toml::string("[journal]\nshards = 0")).unwrap_err();
        assert!(error.to_string().contains("journal.shards"), "{error}");
        for (setting, value) in [
            ("waiting", 100_001),
            ("wait_ms", 5_001),
            ("slow_ms", 0),
            ("slow_ms", 60_001),
            ("write_stall_ms", 99),
        ] {
            let wrong = Serialized::global(&format!("limits.{setting}"), value);
            let error = Settings::from_layers(None, wrong).unwrap_err().to_string();
            assert!(error.contains(&format!("limits.{setting}")), "{error}");
        }
        let error = Settings::from_layers(None, Toml::string("[node]\nlisten = 7")).unwrap_err();
        assert!(error.to_string().contains("node.listen"), "{error}");
    }

    #[test]
    fn a_node_shares_only_a_journal_that_others_can_reach() {
        let shared = "[cluster]\nalone = false\n";
        let error = Settings::from_layers(None, Toml::string(shared)).unwrap_err();
        assert!(error.to_string().contains("cluster.alone"), "{error}");
        let slow = Toml::string("[cluster]\nlease_ms = 600");
        let error = Settings::from_layers(None, slow).unwrap_err();
        assert!(error.to_string().contains("cluster.renewal_ms"), "{error}");

        let both = format!("{shared}[journal]\ndatabase = \"postgres://h/d\"");
        let settings = Settings::from_layers(None, Toml::string(&both)).unwrap();
        assert_eq!(settings.membership().takeover, Takeover::AfterExpiry);
        let alone = Settings::from_layers(None, Toml::string("")).unwrap();
        assert_eq!(alone.membership(), MembershipSettings::ALONE);
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = Toml::string(
            "[journal]\ndatabase = \"postgres://u:hush@h/d\"\n[mail]\nsmtp = \"smtp://u:hush@h\"",
        );
        let settings = Settings::from_layers(None, secret).unwrap();
        assert!(!format!("{settings:?}").contains("hush"));
    }
}
