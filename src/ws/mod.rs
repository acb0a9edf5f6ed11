//! The live feed: protocol, hub and connection.
