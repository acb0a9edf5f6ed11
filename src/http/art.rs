//! A picture for every product, drawn from its id: the shop fetches and stores no photographs.
//!
//! The same product always gets the same picture. Backgrounds are translucent, so a picture takes
//! on the light or dark tile it lies on and needs neither style sheet nor script. Text from the
//! catalogue reaches the drawing only through [`label`], which escapes it.

mod kind;
mod object;

use std::fmt::Write as _;

use kind::Kind;

/// Width and height of the drawing area.
const SIDE: i32 = 480;

/// Four colours that go together, all readable on light and on dark tiles.
struct Palette {
    deep: &'static str,
    mid: &'static str,
    pale: &'static str,
    pop: &'static str,
}

const PALETTES: [Palette; 8] = [
    Palette {
        deep: "#1d5c57",
        mid: "#3f9488",
        pale: "#cfeae2",
        pop: "#c6ec4f",
    },
    Palette {
        deep: "#83442b",
        mid: "#c67a52",
        pale: "#f4dcca",
        pop: "#ffc95c",
    },
    Palette {
        deep: "#573a70",
        mid: "#8d6cad",
        pale: "#e2d5ee",
        pop: "#ffa27d",
    },
    Palette {
        deep: "#2f4c78",
        mid: "#5f83b9",
        pale: "#d4e1f4",
        pop: "#ffd46b",
    },
    Palette {
        deep: "#4b6030",
        mid: "#81995a",
        pale: "#e1eacb",
        pop: "#ff9163",
    },
    Palette {
        deep: "#863b52",
        mid: "#c67289",
        pale: "#f6d8df",
        pop: "#7fdccb",
    },
    Palette {
        deep: "#725617",
        mid: "#b99539",
        pale: "#f3e6bd",
        pop: "#5cc0c9",
    },
    Palette {
        deep: "#3d4c57",
        mid: "#778b98",
        pale: "#dae3e9",
        pop: "#ff8873",
    },
];

/// The picture of a product: an SVG document, square, without script or style sheet.
///
/// `seed` is the product id, `category` the slug or name of its category.
pub fn product_art(seed: &str, category: &str, brand: &str) -> String {
    let kind = Kind::of(category);
    let mut dice = Dice::new(seed);
    let palette = &PALETTES[(kind.palette_offset() + dice.pick(3) * 3) % PALETTES.len()];
    let mut canvas = Canvas {
        svg: String::with_capacity(3000),
        palette,
        dice,
    };
    let _ = write!(
        canvas.svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}" role="img">"#
    );
    backdrop(&mut canvas);
    object::draw(&mut canvas, kind, &label(brand));
    canvas.svg.push_str("</svg>");
    canvas.svg
}

/// A tinted ground and one large, quiet shape.
fn backdrop(canvas: &mut Canvas) {
    let Palette { mid, deep, .. } = *canvas.palette;
    let id = canvas.dice.pick(1 << 20);
    let (x, y) = [("0", "0"), ("1", "0"), ("0", "1"), ("1", "1")][canvas.dice.pick(4)];
    let (across, down) = (if x == "0" { "1" } else { "0" }, if y == "0" { "1" } else { "0" });
    canvas.raw(&format!(
        r#"<defs><linearGradient id="g{id}" x1="{x}" y1="{y}" x2="{across}" y2="{down}"><stop offset="0" stop-color="{mid}" stop-opacity=".34"/><stop offset="1" stop-color="{mid}" stop-opacity=".12"/></linearGradient></defs><rect width="480" height="480" fill="url(#g{id})"/>"#
    ));
    let shift = canvas.dice.between(-40, 40);
    let shape = match canvas.dice.pick(5) {
        0 => format!(r#"<circle cx="{}" cy="{}" r="178"/>"#, 240 + shift, 232),
        1 => format!(r#"<path d="M{0} 480V236a150 150 0 0 1 300 0v244z"/>"#, 90 + shift),
        2 => format!(r#"<path d="M0 {0}L480 {1}V480H0z"/>"#, 300 + shift, 200 - shift),
        3 => format!(
            r#"<path fill-rule="evenodd" d="M{0} 240a200 200 0 1 0 400 0a200 200 0 1 0 -400 0M{1} 240a128 128 0 1 0 256 0a128 128 0 1 0 -256 0"/>"#,
            40 + shift,
            112 + shift
        ),
        _ => format!(
            r#"<path d="M{0} 0H{1}L{2} 480H{3}z"/>"#,
            150 + shift,
            330 + shift,
            290 - shift,
            70 - shift
        ),
    };
    canvas.raw(&format!(r#"<g fill="{mid}" opacity=".2">{shape}</g>"#));
    canvas.raw(&format!(
        r#"<ellipse cx="240" cy="400" rx="150" ry="13" fill="{deep}" opacity=".22"/>"#
    ));
}

/// The brand as it may stand on the object: short, escaped, or nothing.
fn label(brand: &str) -> String {
    let brand = brand.trim();
    if brand.is_empty() || brand.chars().count() > 14 {
        return String::new();
    }
    let mut safe = String::with_capacity(brand.len());
    for letter in brand.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            control if control.is_control() => {}
            // Noncharacters are not allowed in XML.
            '\u{fffe}' | '\u{ffff}' => {}
            plain => safe.push(plain),
        }
    }
    safe
}

/// The drawing so far, its colours and its chance.
struct Canvas {
    svg: String,
    palette: &'static Palette,
    dice: Dice,
}

impl Canvas {
    fn raw(&mut self, svg: &str) {
        self.svg.push_str(svg);
    }

    fn rect(&mut self, at: (i32, i32), size: (i32, i32), round: i32, fill: &str) {
        let _ = write!(
            self.svg,
            r#"<rect x="{}" y="{}" width="{}" height="{}" rx="{round}" fill="{fill}"/>"#,
            at.0, at.1, size.0, size.1
        );
    }

    fn circle(&mut self, at: (i32, i32), radius: i32, fill: &str) {
        let _ = write!(
            self.svg,
            r#"<circle cx="{}" cy="{}" r="{radius}" fill="{fill}"/>"#,
            at.0, at.1
        );
    }

    fn path(&mut self, d: &str, fill: &str) {
        let _ = write!(self.svg, r#"<path d="{d}" fill="{fill}"/>"#);
    }

    fn line(&mut self, d: &str, stroke: &str, width: i32) {
        let _ = write!(
            self.svg,
            r#"<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width}" stroke-linecap="round" stroke-linejoin="round"/>"#
        );
    }

    /// Escaped text, centred.
    fn text(&mut self, at: (i32, i32), size: i32, fill: &str, escaped: &str) {
        if escaped.is_empty() {
            return;
        }
        let _ = write!(
            self.svg,
            r#"<text x="{}" y="{}" font-family="system-ui,sans-serif" font-weight="700" font-size="{size}" text-anchor="middle" fill="{fill}">{escaped}</text>"#,
            at.0, at.1
        );
    }
}

/// Chance that always falls the same way for the same seed.
struct Dice(u64);

impl Dice {
    fn new(seed: &str) -> Self {
        let hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// The next draw (xorshift*).
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    }

    /// One of `0..sides`.
    fn pick(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll() % sides.max(1) as u64).unwrap_or_default()
    }

    /// One of `low..=high`.
    fn between(&mut self, low: i32, high: i32) -> i32 {
        let span = usize::try_from(high - low + 1).unwrap_or(1);
        low + i32::try_from(self.pick(span)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves that a picture depends on its product alone, and differs between products.
    #[test]
    fn the_same_product_has_the_same_picture() {
        let one = product_art("77", "tvs", "Sharp");
        assert_eq!(one, product_art("77", "tvs", "Sharp"));
        assert_ne!(one, product_art("78", "tvs", "Sharp"));
    }

    /// Proves that catalogue text cannot break out of the drawing.
    #[test]
    fn brands_are_escaped() {
        let art = product_art("1", "toner", "<b>&\"x'");
        assert!(art.contains("&lt;b&gt;&amp;&quot;x&#39;"), "{art}");
        assert!(!art.contains("<b>"));
    }

    /// Proves that every kind draws balanced elements and stays small.
    #[test]
    fn every_kind_is_a_small_document() {
        for kind in Kind::ALL {
            let art = product_art("seed", kind.name(), "ACME");
            assert!(art.starts_with("<svg") && art.ends_with("</svg>"));
            let opened = art.matches("<g>").count() + art.matches("<g ").count();
            assert_eq!(opened, art.matches("</g>").count(), "{}", kind.name());
            assert!(art.len() < 8_000, "{} takes {} bytes", kind.name(), art.len());
            assert!(!art.contains("style") && !art.contains("script"));
            assert_eq!(Kind::of(kind.name()), kind);
        }
    }
}
