//! The tree of categories as lists need it: what lies below what, and how much is in it.

use std::collections::HashMap;

/// A category with how many products are in it and below it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CategoryNode {
    /// Its name in a URL.
    pub slug: String,
    /// The name people read.
    pub name: String,
    /// Published products in it and below it.
    pub count: u64,
    /// The categories below it.
    pub children: Vec<Self>,
}

/// The categories of the shop. Products may name others: those stand beside the roots.
#[derive(Debug, Default)]
pub struct Tree {
    /// Parents before their children, in the order in which they are shown.
    rows: Vec<Row>,
    by_slug: HashMap<String, usize>,
}

#[derive(Debug)]
struct Row {
    slug: String,
    name: String,
    parent: Option<usize>,
}

impl Tree {
    /// A tree of `(slug, name, parent's slug)`, parents before their children.
    pub fn new<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str, Option<&'a str>)>) -> Self {
        let mut tree = Self::default();
        for (slug, name, parent) in rows {
            let parent = parent.and_then(|parent| tree.by_slug.get(parent).copied());
            tree.by_slug.insert(slug.to_owned(), tree.rows.len());
            tree.rows.push(Row {
                slug: slug.to_owned(),
                name: name.to_owned(),
                parent,
            });
        }
        tree
    }

    /// The name people read; a slug in words if the tree does not know it.
    #[must_use]
    pub fn name(&self, slug: &str) -> String {
        match self.by_slug.get(slug).and_then(|at| self.rows.get(*at)) {
            Some(row) => row.name.clone(),
            None => in_words(slug),
        }
    }

    /// The slugs and names from a root down to this category; empty if the tree does not know it.
    #[must_use]
    pub fn path(&self, slug: &str) -> Vec<(&str, &str)> {
        let mut path = vec![];
        let mut next = self.by_slug.get(slug).copied();
        while let Some(row) = next.and_then(|at| self.rows.get(at)) {
            path.push((row.slug.as_str(), row.name.as_str()));
            next = row.parent;
        }
        path.reverse();
        path
    }

    /// A category and everything below it.
    #[must_use]
    pub fn below<'a>(&'a self, slug: &'a str) -> Vec<&'a str> {
        let Some(&root) = self.by_slug.get(slug) else {
            return vec![slug];
        };
        let mut inside = vec![false; self.rows.len()];
        let mut slugs = vec![];
        for (at, row) in self.rows.iter().enumerate().skip(root) {
            inside[at] = at == root || row.parent.is_some_and(|parent| inside[parent]);
            if inside[at] {
                slugs.push(row.slug.as_str());
            }
        }
        slugs
    }

    /// The whole tree with counts, from the number of products directly in each category.
    pub(super) fn counted(&self, mut direct: HashMap<&str, u64>) -> Vec<CategoryNode> {
        let mut nodes: Vec<Option<CategoryNode>> = self
            .rows
            .iter()
            .map(|row| {
                Some(CategoryNode {
                    slug: row.slug.clone(),
                    name: row.name.clone(),
                    count: direct.remove(row.slug.as_str()).unwrap_or(0),
                    children: vec![],
                })
            })
            .collect();
        // Children stand after their parents, so from the end each is whole when it is handed up.
        let mut roots = vec![];
        for (at, row) in self.rows.iter().enumerate().rev() {
            let Some(node) = nodes[at].take() else { continue };
            match row.parent.and_then(|parent| nodes[parent].as_mut()) {
                Some(parent) => {
                    parent.count += node.count;
                    parent.children.insert(0, node);
                }
                None => roots.insert(0, node),
            }
        }
        let mut others: Vec<CategoryNode> = direct
            .into_iter()
            .filter(|(slug, _)| !slug.is_empty())
            .map(|(slug, count)| CategoryNode {
                slug: slug.to_owned(),
                name: in_words(slug),
                count,
                children: vec![],
            })
            .collect();
        others.sort_by(|one, other| one.slug.cmp(&other.slug));
        roots.extend(others);
        roots
    }
}

/// `garden-tools` as `Garden tools`.
fn in_words(slug: &str) -> String {
    let mut letters = slug.chars();
    match letters.next() {
        Some(first) => first
            .to_uppercase()
            .chain(letters)
            .collect::<String>()
            .replace('-', " "),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::new([
            ("audio", "Audio", None),
            ("video", "Video", None),
            ("tvs", "Televisions", Some("video")),
            ("oled", "OLED", Some("tvs")),
        ])
    }

    #[test]
    fn a_category_includes_what_lies_below_it() {
        assert_eq!(tree().below("video"), ["video", "tvs", "oled"]);
        assert_eq!(tree().below("audio"), ["audio"]);
        assert_eq!(tree().below("garden-tools"), ["garden-tools"]);
        assert_eq!(tree().path("tvs"), [("video", "Video"), ("tvs", "Televisions")]);
    }

    #[test]
    fn counts_add_up_to_the_roots_and_unknown_categories_are_shown() {
        let nodes = tree().counted(HashMap::from([("oled", 2), ("tvs", 1), ("garden-tools", 4)]));
        let shown: Vec<_> = nodes
            .iter()
            .map(|node| (node.name.as_str(), node.count))
            .collect();
        assert_eq!(shown, [("Audio", 0), ("Video", 3), ("Garden tools", 4)]);
        assert_eq!(nodes[1].children[0].children[0].count, 2);
    }
}
