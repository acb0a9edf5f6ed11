//! What each room is told of the node's settings.

use std::time::Duration;

use crate::config::Settings;
use crate::http::EdgeSettings;
use crate::http::limit::LimitSettings;
use crate::http::overload::RoomSettings;
use crate::http::serve::ServeSettings;
use crate::ws::{ConnectionLimits, LiveSettings};

/// What the edge is told.
pub(super) fn edge(settings: &Settings) -> EdgeSettings {
    EdgeSettings {
        limits: LimitSettings {
            address_per_second: settings.limits.per_address,
            address_burst: settings.limits.per_address_burst,
            count_loopback: settings.limits.count_loopback,
            ..LimitSettings::default()
        },
        room: RoomSettings {
            in_flight: settings.limits.in_flight,
            waiting: settings.limits.waiting,
            patience: Duration::from_millis(settings.limits.wait_ms),
            slow: Duration::from_millis(settings.limits.slow_ms),
        },
        https: settings.node.public_url.starts_with("https://"),
        trusted_proxies: settings.node.trusted_proxies.clone(),
        open_metrics: settings.metrics.public,
        tariff: settings.shop.tariff(),
        ..EdgeSettings::default()
    }
}

/// What the live feed is told.
pub(super) fn live(settings: &Settings) -> LiveSettings {
    LiveSettings {
        connections: ConnectionLimits {
            total: settings.limits.connections,
            per_address: settings.limits.connections_per_address,
            count_loopback: settings.limits.count_loopback,
        },
        ..LiveSettings::default()
    }
}

/// What the accept loop is told.
pub(super) fn serve(settings: &Settings) -> ServeSettings {
    ServeSettings {
        connections: settings.limits.connections,
        connections_per_address: settings.limits.connections_per_address,
        count_loopback: settings.limits.count_loopback,
        trusted_proxies: settings.node.trusted_proxies.clone(),
        write_stall: Duration::from_millis(settings.limits.write_stall_ms),
        ..ServeSettings::default()
    }
}
