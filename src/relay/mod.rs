//! Delivery of what was committed, in order.
