//! The load generator: checks every answer.
