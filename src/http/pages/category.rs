//! `/c/{slug}`: the products of a category.

use axum::extract::Path;
use axum::response::Response;

use super::link::encode;
use super::listing::Asked;
use super::model::{CategoryPage, Link};
use super::visit::Visit;
use crate::http::problem::Problem;
use crate::views::CategoryNode;

/// Shows a category.
pub(super) async fn show(visit: Visit, Path(slug): Path<String>) -> Result<Response, Problem> {
    let catalogue = &visit.edge().views.catalogue;
    let categories = catalogue.categories();
    let category = find(&categories, &slug).ok_or_else(Problem::not_found)?;
    let asked = Asked::read(visit.asked(), Some(&slug), visit.edge().settings.tariff.currency);
    let listing = asked.listing(&visit, &format!("/c/{}", encode(&slug))).await?;
    let mut shell = visit.shell(category.name.as_str()).await;
    shell.description = Some(format!(
        "{}: {} products with prices and stock as they are this moment.",
        category.name, category.count
    ));
    let trail = trail(&visit, &slug);
    shell.enter(trail.root.as_deref().unwrap_or(&slug));
    let children = category.children.iter().filter(|child| child.count > 0);
    let page = CategoryPage {
        shell,
        trail: trail.above,
        name: category.name.clone(),
        count: category.count,
        children: children.map(|child| link(&child.slug, &child.name)).collect(),
        listing,
    };
    visit.public(&page, "products")
}

fn find<'a>(nodes: &'a [CategoryNode], slug: &str) -> Option<&'a CategoryNode> {
    nodes.iter().find_map(|node| {
        if node.slug == slug {
            Some(node)
        } else {
            find(&node.children, slug)
        }
    })
}

/// The way down to a category.
#[derive(Debug)]
pub(super) struct Trail {
    /// From home to the category above.
    pub(super) above: Vec<Link>,
    /// The category itself.
    pub(super) here: Link,
    /// The slug of the root it lies below, or is.
    pub(super) root: Option<String>,
}

/// The way down to a category.
pub(super) fn trail(visit: &Visit, slug: &str) -> Trail {
    let tree = visit.edge().views.catalogue.tree();
    let path = tree.path(slug);
    let home = Link {
        href: "/".to_owned(),
        text: "Home".to_owned(),
    };
    let above = path.iter().filter(|(at, _)| *at != slug);
    Trail {
        above: std::iter::once(home)
            .chain(above.map(|(slug, name)| link(slug, name)))
            .collect(),
        here: link(slug, &tree.name(slug)),
        root: path.first().map(|(root, _)| (*root).to_owned()),
    }
}

fn link(slug: &str, name: &str) -> Link {
    Link {
        href: format!("/c/{}", encode(slug)),
        text: name.to_owned(),
    }
}
