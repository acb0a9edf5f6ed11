//! The edge: routes, authorisation, limits, problem details and the storefront pages.
