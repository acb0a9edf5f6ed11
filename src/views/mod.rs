//! Answers: read models derived from the journal, rebuildable from it.
